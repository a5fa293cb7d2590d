#include "runtime/arena.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "cpu/limits.h"

#if defined(__linux__) || defined(__APPLE__)
#include <sys/mman.h>
#define FOVEA_MMAP 1
#endif

namespace fovea {
namespace {

constexpr uint64_t kHugePage = 2u << 20;
constexpr uint64_t kWorthAsking = 64u << 20;  // below this, reading the system's estimate costs more than it tells

std::atomic<uint64_t> all_arenas{0};  // bytes, in the whole process

Status refused(uint64_t bytes, const std::string& why) {
  return {Code::kMemory, "program: " + std::to_string(bytes) + " bytes of working memory cannot be had" + why};
}

}  // namespace

Arena::~Arena() {
  all_arenas.fetch_sub(counted_);
#if defined(FOVEA_MMAP)
  if (base_) munmap(base_, mapped_);
#else
  free(base_);
#endif
}

Status Arena::allocate(uint64_t bytes) {
  if (bytes == 0) return {};
  if (bytes > (uint64_t(1) << 46)) return refused(bytes, "");
  if (bytes >= kWorthAsking) {
    const uint64_t available = available_memory();
    if (bytes > available) return refused(bytes, ": " + std::to_string(available) + " are available");
    const uint64_t total = total_memory(), others = all_arenas.load();
    if (bytes > total - std::min(total, others)) {
      return refused(bytes, ": other programs hold " + std::to_string(others) + " of " + std::to_string(total));
    }
  }
#if defined(FOVEA_MMAP)
  const bool huge = bytes >= kHugePage;
  mapped_ = static_cast<size_t>(huge ? bytes + kHugePage : bytes);  // room to start at a huge page's border
  void* base = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return refused(bytes, "");
  base_ = base;
  uintptr_t start = reinterpret_cast<uintptr_t>(base);
  if (huge) {
    start = (start + kHugePage - 1) & ~uintptr_t(kHugePage - 1);
#if defined(MADV_HUGEPAGE)
    madvise(reinterpret_cast<void*>(start), static_cast<size_t>(bytes),
            MADV_HUGEPAGE);  // advice: failure costs speed only
#endif
  }
#else
  base_ = calloc(1, static_cast<size_t>(bytes) + kAlignment);
  if (!base_) return refused(bytes, "");
  const uintptr_t start = (reinterpret_cast<uintptr_t>(base_) + kAlignment - 1) & ~uintptr_t(kAlignment - 1);
#endif
  data_ = reinterpret_cast<std::byte*>(start);
  counted_ = bytes;
  all_arenas.fetch_add(bytes);
  return {};
}

}  // namespace fovea
