import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const lists: Record<string, string[]> = JSON.parse(readFileSync(join(root, 'native/sources.json'), 'utf8')).variables;
const listed = Object.values(lists).flat();

const onDisk = readdirSync(join(root, 'native'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.cc'))
  .map((name) => join('native', name));

test('native/sources.json names every native source, once, and nothing else', () => {
  expect([...listed].sort()).toEqual(onDisk.sort());
});

test('a source is compiled with the flags of the instruction set that its name says', () => {
  for (const [list, files] of Object.entries(lists)) {
    const isa = list.match(/^fovea_(scalar|avx2|avx512|avx512vnni|avx512bf16|amx)_sources$/)?.[1];
    for (const file of files) {
      const named = file.match(/native\/kernels\/.*\/(scalar|avx2|avx512vnni|avx512bf16|avx512|amx)[^/]*\.cc$/)?.[1];
      expect(named, `${file} stands in ${list}`).toBe(isa);
    }
  }
});

test('both build systems read that list and name no source themselves', () => {
  for (const file of ['binding.gyp', 'CMakeLists.txt']) {
    const text = readFileSync(join(root, file), 'utf8');
    expect(text, file).toContain('native/sources.json');
    expect(text.match(/[\w/]+\.cc\b/g) ?? [], file).toEqual([]);
    for (const list of Object.keys(lists))
      expect(text, `${list} in ${file}`).toContain(list.replace(/^fovea_|_sources$/g, ''));
  }
  expect(existsSync(join(root, 'native'))).toBe(true);
});
