export async function benchApply(_args: string[]): Promise<string> {
  return 'apply: not yet';
}
