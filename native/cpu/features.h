// What this CPU and this kernel allow, found once per process and lowered by the environment variable FOVEA_CPU.
#pragma once
#include <cstddef>
#include <string>

namespace fovea {

// Each level includes the ones before it. kBaseline is what the compiler may use everywhere: SSE2 on x86-64, NEON on
// arm64. kAvx2 means AVX2 and FMA; kAvx512 means F, BW, DQ and VL; kAvx512Bf16 adds VNNI and BF16, the products
// of pairs of 16-bit integers and of bfloat16 (CpuFeatures::vnni: VNNI alone); kAmx adds AMX tiles of bfloat16,
// permitted by the kernel.
enum class Isa { kBaseline, kAvx2, kAvx512, kAvx512Bf16, kAmx };
const char* isa_name(Isa isa);  // the word that FOVEA_CPU takes
bool parse_isa(const std::string& word, Isa* isa);

struct CpuFeatures {
  Isa isa = Isa::kBaseline;       // what kernels are picked for: `detected`, capped
  Isa detected = Isa::kBaseline;  // never kAmx under a cap: the permission is then not asked for
  bool intel = false;             // who made it
  bool vnni = false;        // products of pairs of 16-bit integers: from kAvx512Bf16 on, and of kAvx512 if it has them
  bool halved_512 = false;  // 512-bit vectors are worked on in halves, one multiply-add a cycle: AMD's Zen 4
  bool halved_pairs = false;  // vdpbf16ps takes two passes: of Intel's CPUs those that were made with AMX
  std::string brand;
  size_t l1d_bytes = 0, l2_bytes = 0, l3_bytes = 0;  // of one core's caches; usual sizes where the system does not tell
  std::string problem;                               // why FOVEA_CPU could not be obeyed; empty when all is well
};

const CpuFeatures& cpu_features();

}  // namespace fovea
