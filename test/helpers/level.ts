const levels = ['baseline', 'avx2', 'avx512', 'avx512bf16', 'amx'];

/**
 * Why a suite under FOVEA_CPU=cap cannot run: what the CPU was found to have is below that level. Whether the cap is then
 * obeyed is for the suite to test.
 */
export function lacks(detected: string, cap: string): string | undefined {
  return levels.indexOf(detected) < levels.indexOf(cap) ? `this CPU is ${detected}` : undefined;
}

/** Levels with products of bfloat16 pairs. */
export function multipliesBf16(isa?: string): boolean {
  return ['avx512bf16', 'amx'].includes(isa ?? '');
}

/** Levels whose programs keep large images as bfloat16 in 'medium': native/kernels/select.cc. */
export function storesRounded(isa?: string): boolean {
  return levels.indexOf(isa ?? '') >= levels.indexOf('avx2');
}
