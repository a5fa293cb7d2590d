// What every kernel template needs from the compiler.
#pragma once

// Full unrolling of a loop with a constant trip count: without it GCC keeps register tiles as arrays in memory.
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif

#define FOVEA_INLINE inline __attribute__((always_inline))

namespace fovea {

// An address in a register of its own: GCC would derive each of its neighbours anew, and spill.
template <class T>
FOVEA_INLINE T* kept(T* address) {
#if defined(__GNUC__)
  asm("" : "+r"(address));
#endif
  return address;
}

// Asks for a line of memory before its turn, into L1. Any address will do: what is not there is not fetched. GCC takes
// that for something without effect, and leaves out calls of a function or a lambda that does nothing else, unless it
// is FOVEA_INLINE.
FOVEA_INLINE void ask_to_read(const void* address) { __builtin_prefetch(address, 0, 3); }
FOVEA_INLINE void ask_to_write(const void* address) { __builtin_prefetch(address, 1, 3); }

// Stores past the caches come before all stores that follow.
FOVEA_INLINE void stores_are_seen() {
#if defined(__SSE__)
  __builtin_ia32_sfence();
#endif
}

}  // namespace fovea
