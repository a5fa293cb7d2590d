// Tile registers as in brgemm/amx.cc: sums 0 to 3, A 4 and 5, B 6 and 7.
#include <immintrin.h>
#include <stdint.h>

namespace fovea {

namespace {

// What LDTILECFG reads (Intel SDM, table 3-10): every tile 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

}  // namespace

int64_t peak_amx(int64_t rounds, float* data, int64_t) {
  const TileConfig config;
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, data, 0);  // all rows of A and B are the same 64 bytes
  _tile_loadd(5, data, 0);
  _tile_loadd(6, data, 0);
  _tile_loadd(7, data, 0);
  for (int64_t round = 0; round < rounds; ++round) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  alignas(64) float sums[16][16];
  _tile_stored(0, sums[0], 64);
  data[0] = sums[0][0];
  _tile_release();
  return rounds * 4 * (16 * 16 * 32 * 2);
}

}  // namespace fovea
