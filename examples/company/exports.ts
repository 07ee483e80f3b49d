/**
 * What the company's HR exports on different days, made from the real rows: the employees as they are today, and the job
 * history that says what they were before.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { packageFolder } from '../../src/store/database.ts';

export type Employee = Readonly<Record<string, string>>;
type Past = { employee_id: string; start_date: string; end_date: string; job_id: string; department_id: string };

const folder = () => join(packageFolder(), 'examples', 'company', 'data');
const rows = async <T>(name: string): Promise<T[]> =>
  parse(await readFile(join(folder(), name)), { columns: true, skip_empty_lines: true }) as T[];

/** Everybody employed on a day, in the department and job of that day. @param day `YYYY-MM-DD` */
export async function companyOn(day: string): Promise<Employee[]> {
  const [employees, history] = await Promise.all([rows<Employee>('employees.csv'), rows<Past>('job_history.csv')]);
  return employees
    .filter(({ hire_date }) => (hire_date ?? '') <= day)
    .map((employee) => {
      const then = history.find(
        (past) => past.employee_id === employee['employee_id'] && past.start_date <= day && day <= past.end_date,
      );
      return then ? { ...employee, job_id: then.job_id, department_id: then.department_id } : employee;
    });
}

/** The export as the HR system writes it: CRLF, a header, no quotes where none are needed. */
export function csvOf(employees: readonly Employee[]): string {
  const columns = Object.keys(employees[0] ?? {});
  const cell = (value = '') => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  return [columns, ...employees.map((employee) => columns.map((column) => employee[column]))]
    .map((line) => `${line.map((value) => cell(value)).join(',')}\r\n`)
    .join('');
}

/** The last day of the old year: nobody of those who joined in 2018, and two people still in their old jobs. */
export const DAY_ONE = '2017-12-31';
/** Four months later: eleven joiners, three movers. */
export const DAY_TWO = '2018-04-30';
/** Who is missing from the second export: a leaver. */
export const LEAVER = '141';
