import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

// An inline function that a kernel's file shares with others is emitted in each of them, and the linker keeps any one: were
// it the AVX-512 one, every CPU would run it. So what such an object offers weakly must carry its instruction set's name.

const root = join(import.meta.dirname, '../..');
const lists: Record<string, string[]> = JSON.parse(readFileSync(join(root, 'native/sources.json'), 'utf8')).variables;
const canRead = spawnSync('nm', ['--version']).status === 0;

for (const isa of ['avx2', 'avx512', 'avx512vnni', 'avx512bf16', 'amx']) {
  for (const source of lists[`fovea_${isa}_sources`] ?? []) {
    const object = join(root, 'build/Release/obj.target', `fovea_${isa}`, source.replace(/\.cc$/, '.o'));
    test(`${source} shares no code with other instruction sets`, ({ skip }) => {
      if (!canRead || !existsSync(object)) skip('needs nm and the objects of a local build');
      const lines = execFileSync('nm', ['--demangle', '--defined-only', object], { encoding: 'utf8' }).split('\n');
      const shared = lines.filter((line) => /^\S+ [WVu] /.test(line) && !line.includes(isa));
      expect(shared).toEqual([]);
    });
  }
}
