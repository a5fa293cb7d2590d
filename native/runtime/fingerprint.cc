#include "runtime/fingerprint.h"

#include <algorithm>
#include <cstring>

#include "runtime/thread_pool.h"

namespace fovea {
namespace {

constexpr size_t kPiece = 256 * 1024;       // bytes: a few microseconds
constexpr double kBytesPerNanosecond = 30;  // of one core
constexpr int kLanes = 4;                   // chains of six cycles, of one product and two words each

constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;  // 2^64 over the golden ratio

constexpr uint64_t rotate(uint64_t x) { return x << 29 | x >> 35; }

// One to one in each of the three. The product carries a difference upwards, the rotation brings it down again.
constexpr uint64_t mix(uint64_t state, uint64_t a, uint64_t b) { return rotate((state ^ a) * kOdd + b); }

uint64_t fingerprint_of(const char* bytes, size_t count) {
  uint64_t lanes[kLanes];
  for (int i = 0; i < kLanes; ++i) lanes[i] = kOdd + static_cast<uint64_t>(i);
  uint64_t words[2 * kLanes];
  for (; count >= sizeof(words); bytes += sizeof(words), count -= sizeof(words)) {
    std::memcpy(words, bytes, sizeof(words));
    for (int i = 0; i < kLanes; ++i) lanes[i] = mix(lanes[i], words[2 * i], words[2 * i + 1]);
  }
  std::memset(words, 0, sizeof(words));
  std::memcpy(words, bytes, count);
  uint64_t all = 0;
  for (int i = 0; i < kLanes; ++i) all = mix(all, mix(lanes[i], words[2 * i], words[2 * i + 1]), 0);
  return all;
}

}  // namespace

std::vector<uint64_t> fingerprint(const std::vector<Bytes>& arrays, ThreadPool& pool) {
  std::vector<Bytes> pieces;
  size_t total = 0;
  for (const Bytes& array : arrays) {
    const char* const data = static_cast<const char*>(array.data);
    for (size_t at = 0; at < array.count; at += kPiece)
      pieces.push_back({data + at, std::min(kPiece, array.count - at)});
    total += array.count;
  }
  std::vector<uint64_t> numbers(pieces.size());
  pool.parallel_for(
      static_cast<int64_t>(pieces.size()),
      [&](int64_t i, int) {
        const Bytes& piece = pieces[static_cast<size_t>(i)];
        numbers[static_cast<size_t>(i)] = fingerprint_of(static_cast<const char*>(piece.data), piece.count);
      },
      static_cast<double>(total) / kBytesPerNanosecond);
  return numbers;
}

}  // namespace fovea
