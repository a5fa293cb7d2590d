import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { findAddon } from '../../lib/backend/addon-path.ts';

interface Limits {
  controlGroupLimits(membership: string, root: string): { cpus: number; memory: number };
}

const search = findAddon();
const addon = 'exports' in search ? (search.exports as Limits) : undefined;
const folders: string[] = [];

/** A folder that looks like /sys/fs/cgroup. */
function groups(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), 'fovea-groups-'));
  folders.push(root);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

describe.runIf(addon)('control groups', () => {
  const limits = (membership: string, files: Record<string, string>) =>
    addon?.controlGroupLimits(membership, groups(files));

  test('version 2: the strictest group on the way to the root', () => {
    const files = {
      'a/b/cpu.max': 'max 100000\n',
      'a/cpu.max': '150000 100000\n',
      'cpu.max': '800000 100000\n',
      'a/b/memory.max': '1048576\n',
      'a/memory.max': 'max\n',
    };
    expect(limits('0::/a/b\n', files)).toEqual({ cpus: 1.5, memory: 1048576 });
    expect(limits('0::/\n', files)).toEqual({ cpus: 8, memory: 0 });
    expect(limits('0::/hidden/by/a/namespace\n', files)).toEqual({ cpus: 8, memory: 0 });
  });

  test('version 1: controllers have folders of their own', () => {
    const files = {
      'cpu,cpuacct/docker/x/cpu.cfs_quota_us': '250000\n',
      'cpu,cpuacct/docker/x/cpu.cfs_period_us': '100000\n',
      'cpu,cpuacct/cpu.cfs_quota_us': '-1\n',
      'cpu,cpuacct/cpu.cfs_period_us': '100000\n',
      'memory/docker/x/memory.limit_in_bytes': '2097152\n',
    };
    const membership = '5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n3:cpuset:/\n1:name=systemd:/docker/x\n';
    expect(limits(membership, files)).toEqual({ cpus: 2.5, memory: 2097152 });
    expect(limits('4:cpu,cpuacct:/\n', files)).toEqual({ cpus: 0, memory: 0 });
  });

  test('text that makes no sense is no limit', () => {
    for (const membership of ['', '\n', ':', '::', '0::', 'a:b:c:d', '0::no-slash', 'x'.repeat(1000)]) {
      expect(limits(membership, { 'no-slash/cpu.max': 'nonsense', 'memory.max': '' })).toEqual({ cpus: 0, memory: 0 });
    }
  });
});

test.runIf(addon && process.platform === 'linux')('threads follow the affinity mask', (context) => {
  const path = 'path' in search ? search.path : '';
  const script = `console.log(require(${JSON.stringify(path)}).info().threads)`;
  const { status, stdout, error } = spawnSync('taskset', ['-c', '0', process.execPath, '-e', script], {
    encoding: 'utf8',
  });
  if (error) return context.skip('needs taskset');
  expect([status, stdout]).toEqual([0, '1\n']);
});
