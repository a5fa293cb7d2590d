// What the cores and the memory of this machine give at best: the limits that benches and explain() compare with.
#pragma once
#include <cstddef>
#include <cstdint>

namespace fovea {

enum class PeakKind { kFloat32, kBf16, kInt16, kMemory };

// Does `rounds` rounds of its work and returns how much that was, in floating point operations or in bytes.
// Multiply-adds never leave the registers; `data` then is 16 floats that keep the compiler from seeing through.
// Of memory, a round is data = data + the array behind it, both of `floats`, a multiple of 64: two reads and a write.
using PeakKernel = int64_t (*)(int64_t rounds, float* data, int64_t floats);

#define PEAK_KERNEL(name, kind, needs) int64_t name(int64_t rounds, float* data, int64_t floats);
#include "kernels/peak/kernels.inc"
#undef PEAK_KERNEL

// The first row of the table that cpu_features() allows; null: there is none of that kind.
PeakKernel select_peak(PeakKind kind);

// GFLOP/s on `threads` threads together, the best of three measurements that take `seconds` in all; 0 where the CPU has
// no such instruction.
double measure_peak(PeakKind kind, int threads, double seconds);

// GB/s, reads and writes counted alike, on `threads` threads that work on `bytes` together, again and again: what the
// caches give when the bytes fit, else the memory. The best of three.
double measure_bandwidth(int threads, size_t bytes, double seconds);

}  // namespace fovea
