#include <algorithm>
#include <chrono>
#include <vector>

#include "cpu/features.h"
#include "kernels/peak/peak.h"
#include "runtime/thread_pool.h"

namespace fovea {

PeakKernel select_peak() {
#if defined(FOVEA_X86)
  if (cpu_features().isa >= Isa::kAvx512) return peak_avx512;
  if (cpu_features().isa >= Isa::kAvx2) return peak_avx2;
#endif
  return peak_scalar;
}

double measure_peak(int threads) {
  using Clock = std::chrono::steady_clock;
  const PeakKernel kernel = select_peak();
  ThreadPool pool(threads);
  double best = 0;
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::vector<double> rates(size_t(threads), 0);
    pool.parallel_for(threads, [&](int64_t task, int) {
      alignas(64) float sink[16] = {};
      int64_t flops = 0;
      const Clock::time_point start = Clock::now();
      double seconds = 0;
      while (seconds < 0.1) {  // long enough that every thread takes one task
        sink[0] = 0;
        flops += kernel(1 << 16, sink);
        seconds = std::chrono::duration<double>(Clock::now() - start).count();
      }
      rates[size_t(task)] = double(flops) / seconds * 1e-9;
    });
    double sum = 0;
    for (double rate : rates) sum += rate;
    best = std::max(best, sum);
  }
  return best;
}

}  // namespace fovea
