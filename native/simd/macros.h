// What every kernel template needs from the compiler.
#pragma once

// Full unrolling of a loop with a constant trip count: without it GCC keeps register tiles as arrays in memory.
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif

#define FOVEA_INLINE inline __attribute__((always_inline))
