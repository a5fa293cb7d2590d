// Winograd's minimal filtering F(m×m, 3×3) for convolutions of stride 1 (Lavin and Gray, 2015): a tile of m×m outputs
// comes from n×n inputs, n = m + 2, by n² products instead of 9·m².
//
//     Y = Aᵀ [ (G g Gᵀ) ∘ (Bᵀ d B) ] A        summed over the channels between the two transforms
//
// The products are matrix products, one for each frequency f.
//
// Stride 2: taps 0 and 2 of an axis meet every other input, tap 1 those between. These phases are filters of stride 1,
// F(4, 2) with 5 products and F(4, 1) with 4:
//
//     y_i = (x_2i·g_0 + x_2i+2·g_2) + x_2i+1·g_1          9 products for 4 outputs along an axis, 81 instead of 144 for
//     4×4
//
// Bᵀ is 9×9, G 9×3, Aᵀ 4×9, with the rows of one phase below those of the other. The input gradient has the same
// phases, with the filter rotated, and writes them to pixels of their own: 5 values of dy, 9 products, 8 pixels of dx.
//
// 5×5 taps: F(2, 5) has the same six products as F(4, 3), 36 instead of 100 for 2×2.
//
// Short tiles: where an image ends after 1 or 2 outputs of a 4×4 tile, F(2, 3) does with 4 of the 6 points of F(4, 3),
// and after 3 outputs F(3, 3) with 5. U at a point p is the same but for the factor Π(p - q) over the points q that are
// left out, which Bᵀ takes here, so that all kinds of tiles share one U: 14×14 outputs are (3·6 + 4)² = 484 products
// instead of 576, 7×7 ones (6 + 5)² = 121 instead of 144.
//
// m = 2 takes the points 0, ±1, ∞. m = 4 takes 0, ±5/8, ±3/2, ∞ (of those between 1/2 and 1 and between 1 and 2 about
// the best; Barabasz, Anderson, Soodhalter and Gregg, 2020, say why the usual 0, ±1, ±2 are poor): Bᵀ and Aᵀ then hold
// dyadic fractions, G does not. F(4, 2) takes ±3/8, ±5/4, ∞. Relative error in the 2-norm against float64, normally
// distributed data, mean of four seeds, in units of 1e-7, with C channels whose products are added up in sums of so
// many channels each:
//
//        C                      16     32     64    128    256    512
//        contract of 'highest'  5.3    5.7    6.3    7.3    9.1   11.8     5·√(9C/1000 + 1)
//        direct, sums of 160    2.2    2.3    2.3    2.3    2.4    2.6     products
//        m = 2, sums of 16      1.6    1.6    1.8    1.9    2.0    2.4
//        m = 2, sums of 64      1.6    2.0    2.6    2.7    2.8    2.8
//        m = 4, sums of 16      4.6    4.9    5.1    5.4    6.0    6.9
//        m = 4, sums of 32      4.6    5.9    6.0    6.1    6.4    6.9
//        m = 4, sums of 64      4.6    5.9    7.5    7.7    7.8    8.0
//        m = 4, one sum         4.6    5.9    7.5   10.0   14.0   19.3     beyond the contract
//        m = 4, points 0 ±1 ±2  9.9   10.6   10.9   12.0   13.0   15.5     beyond the contract, in sums of 16
//
//        contract, 5×5 taps     5.9    6.7    8.1   10.2   13.6
//        5×5, sums of 16        5.8    6.5    6.6           6.9   simulated; with one block of channels too near
//        5×5, sums of 32                       7.5    7.5
//
//        short tiles, m = 4: of 3 outputs 0.8 of these errors, of 2 outputs 0.6 (simulated, C = 64 and 128; without
//        -b instead of 0 the former would be at 1.05 of the contract for 3×3 images of 128 channels)
//
//        stride 2, sums of 16   2.3    2.4    2.6    2.6    2.9
//        stride 2, sums of 64   2.3    2.8    3.8    3.6    3.6
//
// A tile is one linear map of its n×n inputs: Inf and NaN reach all of its m×m outputs, and values within a factor of
// some thousand of the largest float32 may overflow where a direct sum would not. Both leave values that are not finite
// in the output, which the last transform reports: the caller then computes the direct sum instead.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "kernels/asked.h"
#include "simd/bfloat16.h"

namespace fovea {

// The n×n input pixels of a tile, cut to the image: rows [row, row_end) and columns [column, column_end) of them exist
// and the others are zero. `offset` is that of the first that exists, in floats.
struct WinogradWindow {
  ptrdiff_t offset;
  int row, row_end, column, column_end;
};

// The m×m output pixels of a tile, likewise.
using WinogradTarget = WinogradWindow;

// From one row of a tile's pixels to the next and from one pixel to the next: neighbours in the image, or as far apart
// as a filter's dilation.
struct WinogradPitch {
  ptrdiff_t row, pixel;
};

// What is done with the pixels of one kind of tile, which are 16 values of type T each; V, U and M are floats. Reads
// and writes nothing but what exists; any alignment.
template <class T>
struct WinogradPixels {
  // v[f·v_step + 16·t] = (Bᵀ d B)_f, f = points·row + column, d behind x + windows[t].offset, for t < count. The pixels
  // of the windows after those, up to `known`, may be asked for.
  void (*input)(const T* x, WinogradPitch pitch, const WinogradWindow* windows, int count, int known, float* v,
                ptrdiff_t v_step);

  // y = act(Aᵀ M A + bias) in the first `lanes` lanes, zero in the others; M_f at product + f·step + 16·t. bias: 16
  // floats or null. NaN stays NaN. False if a value of Aᵀ M A is not finite. Bfloat16 is rounded to nearest even.
  bool (*output)(const float* product, ptrdiff_t step, const float* bias, bool relu, int lanes,
                 const WinogradTarget* targets, int count, T* y, WinogradPitch pitch);

  // u[f·u_step + 16·t] = (A d Aᵀ)_f, d the pixels of targets[t] in dy, which begin at (0, 0). Adds the sum of all of
  // them to the 16 floats of `total`, if there is one.
  void (*output_gradient)(const T* dy, WinogradPitch pitch, const WinogradTarget* targets, int count, float* u,
                          ptrdiff_t u_step, float* total);
};

// Tiles by what of them exists along the rows and the columns: all, or no more outputs than a short tile has. Those of
// a short kind have some of the frequencies only. In this order, the tiles that have a frequency are neighbours.
enum WinogradKind { kShortRows, kWholeTiles, kShortColumns, kShortTiles, kWinogradKinds };

// For short tiles of 2 outputs along an axis, and for those of 3. Where there are none, whole tiles alone.
template <class T>
struct WinogradKinds {
  WinogradPixels<T> of[2][kWinogradKinds];

  const WinogradPixels<T>* with(int64_t short_outputs) const { return of[short_outputs == 3]; }
};

struct WinogradTransforms {
  int m, n;    // outputs and inputs of a whole tile along an axis
  int points;  // products along an axis
  // Those that short tiles of 2 and 3 outputs have, bit by bit; 0 where there are no such tiles.
  unsigned short_points[2];
  WinogradKinds<float> pixels;

  // u[i·u_row + f·u_step] = (G g Gᵀ)_f for `count` filters g: tap (r, s) at w + (taps·taps·16)·i +
  // (taps·r + s)·tap_step. A negative step rotates the filter.
  void (*weight)(const float* w, ptrdiff_t tap_step, int count, float* u, ptrdiff_t u_row, ptrdiff_t u_step);

  // dw[(taps·taps·16)·i + (taps·r + s)·tap_step] = (Gᵀ M G)_rs, M_f at product + f·step + 16·i. False if a value is not
  // finite.
  bool (*weight_gradient)(const float* product, ptrdiff_t step, int count, float* dw, ptrdiff_t tap_step);
};

// One frequency: product[j][t][16] (+)= Σ_c v[c / 16][t][c % 16] · u[c][j], c < depth. Products are added up in
// registers over `sum` (1, 2 or 4) blocks of 16 channels, in order; these sums are added to the product one after
// another. That, not the speed, is why brgemm's tiles are not used: the table above needs short sums, and here they
// cost no call each.
struct WinogradMultiply {
  const float* v;
  const float* u;  // rows of 16·blocks floats, no gap between them
  float* product;
  ptrdiff_t v_block, product_block;  // floats from a block of 16 channels to the next
  int tiles, depth, blocks, sum;     // 1 <= blocks <= WinogradKernels::blocks
  bool accumulate;                   // otherwise the first sum is stored
  AskedMemory ahead;                 // of the caller, which is asked for meanwhile
};

// One frequency of the gradient: product[j][c][16] (+)= Σ_t v[c / 16][t][c % 16] · u[j][t][16], added up over the tiles
// in registers, in order.
struct WinogradGradMultiply {
  const float* v;
  const float* u;
  float* product;
  ptrdiff_t v_block, u_block, product_block;  // floats from a block of 16 channels or filters to the next
  int tiles, channels, filters;               // blocks of channels; of filters, 1 <= filters <= grad_blocks
  bool accumulate;                            // otherwise the sum is stored
  AskedMemory ahead;                          // of the caller, which is asked for meanwhile
};

struct WinogradKernels {
  const char* name;
  // Tiles and blocks of 16 filters that a multiplication takes at once: the most, and those for which several sums of
  // a call are added up in registers.
  int rows, blocks, few_rows, few_blocks;
  int grad_blocks;               // of 16 filters, likewise
  bool fused;                    // fma() rounds once; if twice, m = 4 comes within 3 % of the contract
  WinogradTransforms two, four;  // by m
  WinogradTransforms five_taps;  // m = 2, without output_gradient and weight_gradient
  // Of stride 2, m = 4; and of its input gradient, which has no output_gradient and weight_gradient.
  WinogradTransforms strided, strided_gradient;
  void (*multiply)(const WinogradMultiply& call);
  void (*multiply_gradient)(const WinogradGradMultiply& call);
};

// For pixels that lie in memory as bfloat16, as WinogradKernels has them.
struct WinogradBf16Kernels {
  WinogradKinds<Bfloat16> two, four, five_taps, strided, strided_gradient;
};

#define WINOGRAD_KERNEL(name, needs) extern const WinogradKernels name;
#include "kernels/winograd/kernels.inc"
#undef WINOGRAD_KERNEL

// The first row of the table that this CPU, or the cap FOVEA_CPU, can run.
const WinogradKernels& winograd_kernels();
const WinogradBf16Kernels* winograd_bf16_kernels();  // null where it has none

extern const WinogradBf16Kernels winograd_avx2bf16, winograd_avx512soft, winograd_avx512bf16;

}  // namespace fovea
