// What the multiply-add units of one core give at best: the ceiling that benches are compared with.
#pragma once
#include <cstdint>

namespace fovea {

// Runs `rounds` rounds of independent multiply-adds that never leave the registers and returns how many floating point
// operations those were. `sink` keeps the compiler from seeing through.
using PeakKernel = int64_t (*)(int64_t rounds, float* sink);
int64_t peak_scalar(int64_t rounds, float* sink);
int64_t peak_avx2(int64_t rounds, float* sink);
int64_t peak_avx512(int64_t rounds, float* sink);

PeakKernel select_peak();  // of the level that cpu_features() names

// GFLOP/s of float32 on `threads` threads together, best of three tenths of a second.
double measure_peak(int threads);

}  // namespace fovea
