#include "runtime/fingerprint.h"

#include <algorithm>
#include <cstring>

#include "runtime/thread_pool.h"
#include "simd/macros.h"

namespace fovea {
namespace {

constexpr size_t kPiece = 256 * 1024;       // bytes: a few microseconds
constexpr double kBytesPerNanosecond = 30;  // of one core
constexpr int kLanes = 4;                   // chains of one product of two words each

// Bytes to ask for ahead: into the next page, before which prefetchers stop. A sketch read 15 GB/s in place of 11
// (Emerald Rapids, two threads, pages of 4 KiB).
constexpr size_t kAhead = 4096;

constexpr uint64_t kSecret = 0x9e3779b97f4a7c15;  // 2^64 over the golden ratio

// Both halves of a product of 128 bits, as in wyhash (Wang Yi, 2019): every bit of both words has its say in all of the
// result. Sums and products of 64 bits would not do: there two signs that change in the right places leave no trace.
uint64_t fold(uint64_t a, uint64_t b) {
#if defined(__SIZEOF_INT128__)
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
#else
  const uint64_t low = a & 0xffffffff, high = a >> 32, b_low = b & 0xffffffff, b_high = b >> 32;
  const uint64_t carried = (low * b_low >> 32) + high * b_low, middle = (carried & 0xffffffff) + low * b_high;
  return a * b ^ (high * b_high + (carried >> 32) + (middle >> 32));
#endif
}

uint64_t fingerprint_of(const char* bytes, size_t count) {
  uint64_t lanes[kLanes], words[2 * kLanes];
  for (int i = 0; i < kLanes; ++i) lanes[i] = kSecret * static_cast<uint64_t>(2 * i + 1);
  const auto take = [&] {
    for (int i = 0; i < kLanes; ++i) lanes[i] = fold(words[2 * i] ^ kSecret, words[2 * i + 1] ^ lanes[i]);
  };
  for (; count >= sizeof(words); bytes += sizeof(words), count -= sizeof(words)) {
    ask_to_read(bytes + kAhead);
    std::memcpy(words, bytes, sizeof(words));
    take();
  }
  std::memset(words, 0, sizeof(words));
  std::memcpy(words, bytes, count);
  take();
  uint64_t all = 0;
  for (uint64_t lane : lanes) all = fold(all ^ kSecret, lane);
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
