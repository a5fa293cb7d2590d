// Numbers too small to be normal cost a hundred cycles each; on our threads they count as zero.
#pragma once
#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace fovea {

// Denormals are zero on this thread from construction to destruction; then its former mode is back.
class FlushDenormals {
 public:
#if defined(__x86_64__)
  FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }  // FTZ for results, DAZ for operands
  ~FlushDenormals() { _mm_setcsr(before_); }
#elif defined(__aarch64__)
  FlushDenormals() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(before_));
    set(before_ | (uint64_t(1) << 24));
  }
  ~FlushDenormals() { set(before_); }
#else
  FlushDenormals() : before_(0) {}
#endif
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
#if defined(__x86_64__)
  uint32_t before_;
#else
#if defined(__aarch64__)
  static void set(uint64_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#endif
  uint64_t before_;
#endif
};

}  // namespace fovea
