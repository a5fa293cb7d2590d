#include "cpu/features.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#if defined(__linux__)
extern "C" __attribute__((weak)) void fovea_amx_emulator();  // defined by the emulator only
#endif

namespace fovea {
namespace {

constexpr const char* kNames[] = {"baseline", "avx2", "avx512", "avx512bf16", "amx"};

#if defined(__x86_64__)
struct Registers {
  uint32_t a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf = 0) {
  Registers r;
  if (!__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d)) return {};
  return r;
}

// The register state that the operating system saves: without its bit, using the registers faults.
uint64_t saved_state() {
  if (!(cpuid(1).c & (1u << 27))) return 0;  // OSXSAVE
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t(high) << 32) | low;
}

bool has_bits(uint64_t value, uint64_t bits) { return (value & bits) == bits; }

// cpuid spells the maker over b, d and c.
bool made_by(uint32_t b, uint32_t d, uint32_t c) {
  const Registers vendor = cpuid(0);
  return vendor.b == b && vendor.d == d && vendor.c == c;
}
bool is_amd() { return made_by(0x68747541, 0x69746e65, 0x444d4163); }    // AuthenticAMD
bool is_intel() { return made_by(0x756e6547, 0x49656e69, 0x6c65746e); }  // GenuineIntel
uint32_t family() { return ((cpuid(1).a >> 8) & 0xf) + ((cpuid(1).a >> 20) & 0xff); }
uint32_t model() { return ((cpuid(1).a >> 4) & 0xf) + ((cpuid(1).a >> 12) & 0xf0); }

// AMD's family 19h is Zen 3, which has no AVX-512, and Zen 4.
bool is_zen4() { return is_amd() && family() == 0x19; }

// On two cores of an Emerald Rapids whose AMX the hypervisor hides: 351 GFLOP/s of float32, 172 with pairs. Cooper
// Lake, model 55h, had pairs before there was AMX.
bool halves_pairs() { return is_intel() && model() != 0x55; }

// Linux grants the 8 KiB of tile registers on request, once for all threads of the process.
bool amx_permitted() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

// The emulator of tile instructions (test/amx) is a library that was loaded before this one, and only obeys an explicit
// FOVEA_CPU=amx: nobody should get its speed by accident.
bool amx_emulated() {
#if defined(__linux__)
  const char* word = getenv("FOVEA_CPU");
  return fovea_amx_emulator != nullptr && word && strcmp(word, "amx") == 0;
#else
  return false;
#endif
}

Isa detect_isa(Isa cap) {
  constexpr uint64_t kYmm = 0x6, kZmm = 0xe6, kTiles = 0x60000;
  const uint64_t state = saved_state();
  const Registers basic = cpuid(1), extended = cpuid(7);
  const bool avx2 =
      has_bits(state, kYmm) && has_bits(basic.c, (1u << 28) | (1u << 12)) && has_bits(extended.b, 1u << 5);
  if (!avx2) return Isa::kBaseline;
  const uint32_t f_dq_bw_vl = (1u << 16) | (1u << 17) | (1u << 30) | (1u << 31);
  if (!has_bits(state, kZmm) || !has_bits(extended.b, f_dq_bw_vl)) return Isa::kAvx2;
  const bool pairs = has_bits(extended.c, 1u << 11) && has_bits(cpuid(7, 1).a, 1u << 5);
  if (!pairs) return Isa::kAvx512;
  const bool amx = has_bits(state, kTiles) && has_bits(extended.d, (1u << 22) | (1u << 24));
  if (cap != Isa::kAmx) return Isa::kAvx512Bf16;
  return (amx && amx_permitted()) || amx_emulated() ? Isa::kAmx : Isa::kAvx512Bf16;
}

std::string detect_brand() {
  if (cpuid(0x80000000).a < 0x80000004) return "x86-64";
  char text[49] = {};
  for (uint32_t i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002 + i);
    memcpy(text + 16 * i, &r, sizeof(r));
  }
  const char* start = text;
  while (*start == ' ') ++start;
  return start;
}
#else
Isa detect_isa(Isa) { return Isa::kBaseline; }

std::string detect_brand() {
#if defined(__APPLE__)
  char text[128] = {};
  size_t size = sizeof(text) - 1;
  if (sysctlbyname("machdep.cpu.brand_string", text, &size, nullptr, 0) == 0) return text;
#endif
  return "arm64";
}
#endif

size_t cache_bytes(int level, size_t usual) {
#if defined(__linux__) && defined(_SC_LEVEL1_DCACHE_SIZE)
  const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
  const long bytes = sysconf(names[level - 1]);
  if (bytes > 0) return size_t(bytes);
#else
  (void)level;
#endif
  return usual;
}

CpuFeatures detect() {
  CpuFeatures f;
  Isa cap = Isa::kAmx;
  const char* word = getenv("FOVEA_CPU");
  if (word && *word && !parse_isa(word, &cap)) {
    f.problem =
        "FOVEA_CPU is '" + std::string(word).substr(0, 64) + "', expected baseline, avx2, avx512, avx512bf16 or amx";
  }
  f.detected = detect_isa(cap);
  f.isa = f.detected < cap ? f.detected : cap;
#if defined(__x86_64__)
  f.intel = is_intel();
  f.vnni = f.isa >= Isa::kAvx512 && has_bits(cpuid(7).c, 1u << 11);
  f.halved_512 = f.isa >= Isa::kAvx512 && is_zen4();
  f.halved_pairs = f.isa >= Isa::kAvx512Bf16 && halves_pairs();
#endif
  f.brand = detect_brand();
  f.l1d_bytes = cache_bytes(1, 32u << 10);
  f.l2_bytes = cache_bytes(2, 1u << 20);
  f.l3_bytes = cache_bytes(3, 8u << 20);
  return f;
}

}  // namespace

const char* isa_name(Isa isa) { return kNames[static_cast<int>(isa)]; }

bool parse_isa(const std::string& word, Isa* isa) {
  for (int i = 0; i <= static_cast<int>(Isa::kAmx); ++i) {
    if (word != kNames[i]) continue;
    *isa = static_cast<Isa>(i);
    return true;
  }
  return false;
}

const CpuFeatures& cpu_features() {
  // Never destroyed: process.exit() may run static destructors while a program still runs.
  static const CpuFeatures& features = *new CpuFeatures(detect());
  return features;
}

}  // namespace fovea
