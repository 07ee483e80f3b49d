/**
 * The 2048 words of the eight-word phrase (`phrase.ts`), in alphabetical order. No two are one letter apart, none begins
 * another, and no two share the sounds of their consonants, so that they are told apart over a bad telephone line. The
 * order is part of the format: never change it.
 */
const LIST = `
abacus abbey abdomen ability abrupt absent absorb academy accent access account achieve acme acorn acquire acrobat
action actor actual adapt address adjust admiral admit adult advance advice adviser aerial aerobic aerosol affair
affirm afford afloat against agency agenda agile aground airbag airline airport alarm album alchemy alcove alert algae
algebra alien alike alley almanac almond almost aloft alphabet alpine altar always amateur amazing amber ammonia
amount ample amplify amuse anagram analog anatomy anchor anchovy ancient anemone angel angler angora animal ankle
annex annual anorak answer antelope antenna anthem anthill antique anvil anxious apart apology appeal appoint apricot
april apron aquarium aquatic aquifer arable arbiter arcade archer archive arctic arduous arena armada armchair armor
aroma arrange arrival arrow artery article artist ascend ashore ashtray askew aspect aspen asphalt asset assist assume
athlete atlas atrium attain attempt attend attic attract audit august aurora author autumn avenue average aviator
avocado avoid awake award awning azure backpack bacon badge bagel baggage bagpipe bakery balance balcony ballet
balloon bamboo banana bandage bangle banjo banner banquet barbecue barber bargain barley basement bashful basil basket
bathtub battery bazaar beach beard beauty beaver becalm because bedrock bedroom beehive beetle begin behind belfry
believe belong beluga benefit berry besides biceps bicycle bifocal binder biology biplane birch birthday bison blanket
blazer blender blink blister blizzard blossom blouse blunt bobbin bobcat boiler bonanza bonfire bongo bonus border
bottom boulder bouquet bovine boxcar bracelet brain brake bramble branch brass breadth brewery bridge brief brigade
brisket bristle broken bronco bronze broom brother brush bubble buckle budget buffalo buffet bugle bulb bulldog bumper
bundle bunker bunny burger burlap burnish bushel butler button bygone bypass cabaret cabbage cabin cable cactus cadet
cage calcium calendar caliber camel camera campfire campus canal canary candid candle candy canoe canopy canteen
canvas canyon capable capital capsule captain caramel caravan carbon cargo caribou carnival carol carpet carrot
cartoon carve cascade cashew casino castle casual catalog catch catfish cause caution cavalry ceiling celery cello
celsius cement census center ceramic cereal certain chain chalk champion change channel chaotic chapter charcoal
chariot charm chase cheap check cheddar cheetah chemist cherry cherub chest chevron chicken chief chiffon chigger
child chilly chimney chinook chipmunk chisel chorus churn cider cinch cinema cinnamon circle circuit circus citadel
citizen citrus civil claim clamp clarify clarinet classic clean cleft clerk clever cliche client cliff climate cling
clinic clock closet cloth cloud club cluster coast coax cobalt cobbler cobra cobweb cockpit cocoa coconut coexist
coffee collar collect college cologne column combine comedy comfort comic command common compact compete compile
complex comrade concert condor conical conifer connect conquer consent console consult contact contest control convex
convoy cooker corner coronet correct corsage cosmos costume cottage cougar courage courier cover cowboy cowslip coyote
cracker cradle craft crane crash crater cream credit creek crevice crimson crisp critic crochet cross crust crutch
cryptic crystal cubicle cucumber culture cumulus cupcake curry cursor cushion custard custody cutlass cutlery cyclone
cymbal daffodil dairy damask dance dapper daring dazzle debate decade decagon december decent decimal declare decoy
defend degree delay deliver delta deluxe demand denim dentist depart deposit depth derby desert design despite destiny
detail detect develop device devote diadem diagram dialect dictate differ digest digital dignity dilemma dimple dinghy
dinner dinosaur diploma direct disco discuss dish display distill divulge doctor document dodge dogma dogwood dolphin
domain donate donkey dosage double dough dove dozen dragon drama drapery drawer dredge dress drift drill drink driver
drizzle duchess duffel dulcet dumpling duplex durable dusty dutiful dwindle dynamic dynasty eager eagle eardrum
earnest earring earth easel ebony echo eclair eclipse economy edible edition editor educate eggplant egret eight
ejector elapse elastic elated elbow elegant elephant elevator eleven elicit elite elixir elusive embark embassy emblem
embrace emerald eminent emotion empathy emperor empty enable encore endless endorse energy engage engine engrave
engulf enigma enjoy enlist enough enrich enroll entire envelope enzyme episode epoch equal equip equity eraser ermine
escape escort essay estate eternal ethics ethos evening event evoke evolve exact example excite exclaim excuse exempt
exercise exhibit exist exodus exotic expand expanse expert explain explore express extend extol extra exult eyelash
fabric factory faculty faint fairway faith falcon fame family famous fancy fanfare fantasy fashion fasten father
fathom faucet favor federal feeling fellow fertile festival fetch fiber fiction fiddle fidget field fierce fifteen
figment figure filter final finance finger finish firefly fireman fiscal fisher fitness fjord flag flake flamingo
flange flank flannel flash fleece flex flicker flirt floor flop floral florist fluent focus foghorn foliage football
forage forbid foreign forest forget formal fortune forum forward fossil foster fountain fragile frantic freckle
freedom freezer freight fresh friend frigate fringe fritter frock frog frolic frontier froth frozen frugal fulfill
furlong furnace fusion futon future fuzzy gadget gainful galaxy gallery gallon gambit gamble gander gangway garage
garden garland garlic garment gasoline gauge gazelle gecko gelatin general generic genie genius gentle genuine geology
gerbil gesture geyser gherkin giant gift giggle gild gimmick gingham giraffe gizmo glacier glamour glass gleam glider
glimpse glint global glove gnaw gnome goalie gobble goblet golden gondola goose gopher gorilla gosling gossip gourmet
govern gown grace grammar granary grand granola graph grapple grasp gravel gravity great green greeting gremlin
griffin grimace grizzly grocery grouchy group growth guava guest guide guitar guppy gurgle gymnast gyrate habit
haddock haggle hairpin halfway halibut halogen hamlet hammer hammock hamster handbag hangar happen happy hardware
harmony harness harp harvest hasty hatbox hatchet haunt haven hazel headline health hearing heart hectare hedge hefty
helium helmet helpful hemlock herald herbal hexagon hiccup hickory hidden highway hiking hinge history hockey holiday
hollow holster homage honest honey honor hoof hopeful horizon hornet horse hospital hotel hour hulk human humble humid
hunch hundred hurdle hurl hush husky hybrid hydrant hydrogen hygiene iceberg icicle icing ideal identity idiom ignite
ignore iguana image imagine imitate immense impact impish implore import improve impulse incline include income indent
index indigo indulge infer inflate inform ingot initial inkling inland inlet innate input insect inside insist inspire
install instead intact integer intense inverse invest invite invoice iris isolate italic jackal jacket jackpot jaguar
jalopy january japan jargon jasmine javelin jaywalk jelly jerky jersey jetty jigsaw jingle jitter jogger jostle
journal journey jovial jubilee judge juice jukebox jumbo juniper jurist juror jury justice kangaroo kernel kettle
kickoff kingdom kinship kiosk kitchen kiwi kneecap kneel knife knight knob knock koala kudos label labor laconic
lacquer ladder ladybug lagoon lancer language lantern laptop large lariat lasagna laser lasso latin laugh launch
laundry lavender lavish lawyer layout leaflet league leash leather lecture ledger legacy legend legible lemming lemon
lemur length lens lentil leopard lesson lettuce level lexicon liberal library license lichen lifeboat lilac lilting
lily limber limit limpet linen lion liquid listen litmus little livery lizard llama loaf lobby lobster local locust
lofty logbook logic lonely lounge lozenge lucid lucky luggage lullaby lump luxury lynx lyric macaw machete machine
macro madam magazine magenta magic magma magnet magnify magpie mahogany maiden mailbox major mallard mammal mammoth
manager mandate mango mansion manual marathon marble march margin marimba marine market marquee marry marvel mascot
massage master mastiff matador math matrix mattress maximum mayfly meadow meaning measure mechanic medal medicine
melody melon member memory mental mention merge merit mermaid mesh meteor method microbe midnight migrate mileage milk
mimic mimosa minaret mince mineral minimum minnow minor minute miracle mirror mirth misfit mission mistake misty
mixture mobile modern modest modify modular molar molecule mollusk molten moment monarch mongoose monitor monocle
monster month moral morning morsel mortar mosaic mother mouse movie muffin muffler mulberry mulch murmur muscle museum
mushroom muslin mustang muzzle myrtle nacho napkin narrate narwhal nation nature naval nearby nectar needle neighbor
neither neptune nerve nestle network neutral neutron never newborn nickel nifty nimble nineteen nirvana noble nobody
noise nomad north nostril notable notebook nougat nourish novelty november nozzle nuance nucleus nugget number numeral
nutmeg nylon nymph oaken oarsman oasis oatmeal obelisk object oblong obscure observe obtain obvious ocean octagon
octave october octopus odyssey office often olive olympic omega omelet omit omnibus onion online onward opaque opera
opinion opossum oppose optic opulent oracle oration orbit orchard orchid oregano organic origin osprey ostrich otter
ounce outcome outfit outline outpost outside overcoat owner oxbow oxygen oyster pacific pacify package padlock pageant
pagoda pajamas pancake panel panther papaya paper paprika papyrus paradox parcel pardon parent parking parlor parquet
parsnip partial partner pasta pastel pastime pastry patient patriot patrol pattern pavement payment peace peacock
pencil pendant penguin percent perfect perform perfume perplex persist person phantom pharmacy phoenix phone photo
physics pianist pickaxe picnic picture pitcher pith placid planner plaque pliers plumage plumber plunge plural plush
poem polygon pompous poncho pontoon popcorn poplar posh possess postage postman potato predict preface prefer prelude
premium pretend pretzel prevent prickle primary prism private probe problem proceed process prodigy produce profile
program project promise prompt pronoun prosper protest proverb provoke psychic public publish pudding pulley pulpit
pumice pumpkin puppet purple purpose pyramid python quantum quartz quench question rabbit raccoon radar radiant radio
radish rafter ragtime railway rainbow raisin rambler random rarity ratify rattle ravine razor reactor realize realm
rebound rebuild recall receipt receive recess recipe recline record recoup recover reduce referee reflect reform
refrain refresh refuge refund regal regard regatta region regular reign relax relent relic relief relish remain remark
remedy remind remiss remnant remove render renew repair repay replace replica report repose reptile request require
rescue resist respect respond restore result resume retreat return reunion reveal reverse review revise revival
rhombus rhubarb rhyme rhythm ribbon rice rigid rinse robust rocket rogue romance romper rotate round routine rugby
rugged ruler rummage rumor runner rural russet rustic sachet saddle safari safety saffron salad salmon salvage sandal
sandbox sandwich sapphire satchel satisfy saturn sauce sausage savanna savings scale scallop scamper scanner scarce
scarf scarlet scatter scene scheme scholar science scissors scoop scorch score scout scramble screen script scroll
scrub sculptor seagull search season seclude second secret section seek segment seismic seldom select seminar senate
senior sentence sequin sergeant series serpent servant sesame seventy several shadow shaft shaggy shallow shampoo
shanty shape shark sharpen shelf shelter shepherd sherbet sheriff shield shimmer shingle shirt shiver shoe shovel
shower shrimp shrink shrug shuttle sierra sigh silent silicon silver similar sincere siren sister sitcom sixteen
sizable sketch skittle skunk slalom sleep sleeve sleuth slice slipper slither slogan small smart smoke smooth snack
snail sneaker sniffle snippet snorkel snuggle soccer social society sodium soggy soldier somber soprano sorbet sorghum
south soybean spade spangle spaniel sparkle sparrow spatula special speckle speech spend spider spigot spike spinach
spindle spiral spirit splash split sponge sponsor spring sprinkle spruce squash squeak squeeze stadium staff stage
stalk stamina stamp stance staple startle static station statue steak stencil step stigma stipend stirrup stitch
stomach stone storage stork strand strategy stream street stretch strict strong student stumble suave subject sublime
submit subsidy suburb subway success suffix sugar suggest sultan summer summon sundown sunrise sunset supply suppose
supreme surface surgeon surmise surplus surprise survey survive sushi suspend sustain sweet swim swing symptom synonym
syntax syrup system tabasco tablet taboo tackle tactful tactic tadpole tailor talcum talent talon tandem tanker
tapestry target tartan tavern taxi teacher teacup temper tempest tempo tenant tendon termite testify textbook textile
texture thank thatch thaw theater theme theory thermal thesis thicket thimble thin thirsty thistle thorn thought
thousand thread thrift thrill thrive thunder tidings tiger tighten tinsel tissue titanium toddler together token
tomato tomorrow tongue toolbox tooth topaz torch tornado tortoise tourist toward tractor traffic trailer trance
transit trapeze treasure trellis tremble triangle trick trident trifle trigger trilogy trimmer trinket triumph
trombone trousers trumpet trundle truth tugboat tulip tundra tunnel turbine turnip turtle tuxedo twelve twig twinkle
typhoon typical ukulele umbrella uncover unicorn unify unique unison unknown unless unlock unravel unusual upbeat
update upgrade uplift uproar urban urchin urgent useful utensil utmost utopia vacant vaccine vacuum valve vegan
vehicle velvet vendor veneer verb verify veteran viable viaduct vibe vibrant vibrate vicar view vigil vinegar vintage
violin visor vitamin vivid voltage volume vortex voucher voyage wafer waffle wagon waist waiter walkway wallaby walnut
walrus warbler wardrobe warm washer wasp webbing wedding weekday weekend weigh welcome welder western whale wharf
wheat whirl whisker whittle wicker wildcat window winter wiring wisdom wise wolf wombat workout workshop world worthy
wreath wrestle wrinkle yacht yank yard yawn yearbook yeast yelp yodel yogurt yoke yonder young yoyo yule zenith zigzag
zither zoology zucchini
`;

export const WORDS: readonly string[] = LIST.trim().split(/\s+/);
