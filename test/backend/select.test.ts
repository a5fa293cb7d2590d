import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { findNative } from '../../lib/backend/native.ts';

const native = findNative().backend !== undefined;

/** lib/backend/select.ts as a process with these variables sees it. */
async function selectWith(variables: Record<string, string>): Promise<typeof import('../../lib/backend/select.ts')> {
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
  return import('../../lib/backend/select.ts');
}

beforeEach(() => {
  vi.resetModules();
  vi.stubEnv('FOVEA_BACKEND', '');
  vi.stubEnv('FOVEA_THREADS', '');
});
afterEach(() => vi.unstubAllEnvs());

describe('the environment', () => {
  test('FOVEA_BACKEND=reference', async () => {
    const { backend, activeBackend } = await selectWith({ FOVEA_BACKEND: 'reference' });
    expect(backend()).toMatchObject({ name: 'reference', reason: 'asked for by FOVEA_BACKEND' });
    expect(activeBackend().name).toBe('reference');
  });

  test('an unknown backend is refused', async () => {
    const { backend } = await selectWith({ FOVEA_BACKEND: 'gpu' });
    expect(backend).toThrow(expect.objectContaining({ code: 'ERR_BACKEND' }));
    expect(backend).toThrow("backend: FOVEA_BACKEND is 'gpu', expected native or reference");
  });

  test('without an addon: the reference backend with the reason, and native is refused with it', async () => {
    const { backend, useBackend, namedBackend } = await selectWith({ FOVEA_ADDON: '/no/such/file.node' });
    expect(backend()).toMatchObject({ name: 'reference', reason: expect.stringContaining('/no/such/file.node') });
    expect(() => useBackend('native')).toThrow(expect.objectContaining({ code: 'ERR_BACKEND' }));
    expect(() => namedBackend('native')).toThrow(/native cannot be had: .*file\.node/);
    vi.resetModules();
    const asked = await selectWith({ FOVEA_BACKEND: 'native' });
    expect(asked.backend).toThrow(expect.objectContaining({ code: 'ERR_BACKEND' }));
  });

  test.runIf(native)('FOVEA_THREADS', async () => {
    expect((await selectWith({ FOVEA_THREADS: '3' })).backend().threads).toBe(3);
    for (const text of ['0', '-1', '1.5', 'many', '257', '1e9']) {
      vi.resetModules();
      const { backend } = await selectWith({ FOVEA_THREADS: text });
      expect(backend, text).toThrow(`FOVEA_THREADS is '${text}', expected a whole number from 1 to 256`);
    }
  });

  test('useBackend takes the two names only', async () => {
    const { useBackend } = await selectWith({});
    for (const name of ['', 'Native', 'toString', undefined, null, 1]) {
      expect(() => Reflect.apply(useBackend, undefined, [name])).toThrow(
        expect.objectContaining({ code: 'ERR_BACKEND' }),
      );
    }
  });
});
