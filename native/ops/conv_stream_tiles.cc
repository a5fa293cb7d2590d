// What a ConvStream multiplies: the entries of each sum, the pieces they are added up in, and the tiles of each band.
#include <algorithm>
#include <cmath>

#include "ops/conv_stream.h"

namespace fovea {

namespace {

// Of 32 channels and one tap, that are added up in one sum when it has to be as exact as float32: six products of each
// make 384 additions. In one sum over 64 filters and 9 taps the error was 8.1e-7, with 6.3e-7 allowed.
constexpr int64_t kExactSteps = 2;

}  // namespace

void ConvStream::add_phase(const AxisPhase& row, const AxisPhase& column) {
  const StreamProblem& p = problem_;
  Phase phase;
  phase.row = row;
  phase.column = column;
  for (const AxisTap& r : row.taps) {
    for (const AxisTap& c : column.taps)
      phase.taps.push_back(p.tap_offsets[static_cast<size_t>(r.tap * p.taps_w + c.tap)]);
  }
  const int64_t taps = static_cast<int64_t>(phase.taps.size());
  phase.full = make_pieces(taps, chunk_, lanes_);
  phase.depth = choose_depth(taps);
  if (phase.depth > 0) {
    phase.last = make_pieces(taps, units_ - (chunks_ - 1) * chunk_, phase.depth);
  } else if (taps > 0) {  // the last unit by itself
    phase.depth = lanes_;
    phase.last = make_pieces(taps, units_ - (chunks_ - 1) * chunk_ - 1, lanes_);
    const int64_t first = (units_ - (chunks_ - 1) * chunk_ - 1) * taps;
    for (Piece piece : make_pieces(taps, 1, last_depth()))
      phase.last.push_back({first + piece.first, piece.count, piece.depth});
  }
  // Without taps nothing is added up, but zeros are written all the same.
  for (auto* pieces : {&phase.full, &phase.last})
    if (pieces->empty()) pieces->push_back({0, 0, 0});
  phase.panel = group_panel_floats_;
  phase.block_floats = ceil_div(units_ * lanes_, panel_lanes()) * panel_floats(taps);
  group_panel_floats_ += panel_blocks_ * phase.block_floats;
  for (const AxisRun& rows : skips_ ? runs_inside(p.rows, row) : whole_run(row)) {
    for (const AxisRun& columns : skips_ ? runs_inside(p.columns, column) : whole_run(column))
      phase.covers.push_back(make_cover(phase, rows, columns));
  }
  make_tiles(&phase);
  phases_.push_back(std::move(phase));
}

// The words of the last unit that channels stand in: the others are zeros.
int64_t ConvStream::last_depth() const {
  return ceil_div((problem_.weight.depth - (units_ - 1) * unit_depth_) * lanes_, unit_depth_);
}

// How deep the entries of a sum are: whole units, or such parts of one that what is left of the last unit, or what
// rounds of blocks multiply where they differ, is a few of them. 0: the last unit is added up by itself, through
// memory. Of 24 channels the sums of 16 went to memory and back for those of the other eight. A tile of AMX multiplies
// 16 words or fewer at once, in the same time.
int64_t ConvStream::choose_depth(int64_t taps) const {
  constexpr double kEntry = 8;  // cycles
  const int64_t last = last_depth(), whole = (units_ - 1) * lanes_;
  if (comes_in_strips()) return kBrgemmUnroll;
  if (last == lanes_ && !rounds_differ()) return lanes_;
  const auto tile = [&](int64_t words) {
    return tiles_cycles(*kernels_, kernels_->rows[step_ - 1], step_, step_, taps * words);
  };
  const auto cycles = [&](int64_t each, int64_t words) {
    return tile(words) + kEntry * static_cast<double>(taps * words / each);
  };
  double best =
      units_ > 1 ? tile(whole) + tile(last) + kEntry * static_cast<double>(taps * units_) : tile(last) + kEntry;
  if (rounds_differ()) best = INFINITY;
  int64_t depth = 0;
  const int64_t least = kernels_->tile_rows > 1 || chunks_ > 1 ? lanes_ : kBrgemmUnroll;
  for (int64_t each = lanes_; each >= least; each /= 2) {
    if (rounds_.by_group() && problem_.weight.depth / problem_.weight.parts % depths_of(each) != 0) continue;
    double now = 0;
    if (rounds_differ()) {
      for (const AxisSpan& words : words_of_rounds(each)) now += cycles(each, words.end - words.first);
    } else {
      now = cycles(each, whole + round_up(last, each));
    }
    if (now < best) best = now, depth = each;
  }
  return depth;
}

// What each round of blocks multiplies of the channels, in entries of so many words.
std::vector<AxisSpan> ConvStream::words_of_rounds(int64_t depth) const {
  const int64_t word = unit_depth_ / lanes_;  // channels
  std::vector<AxisSpan> spans;
  for (const LaneRound& round : rounds_.all()) {
    spans.push_back({round.depths.first / word / depth * depth, round_up(ceil_div(round.depths.end, word), depth)});
  }
  return spans;
}

ConvStream::Cover ConvStream::make_cover(const Phase& phase, const AxisRun& rows, const AxisRun& columns) const {
  Cover cover{rows, columns, {}};
  const AxisSpan all{0, units_ * lanes_};
  for (const AxisSpan& words : rounds_differ() ? words_of_rounds(phase.depth) : std::vector<AxisSpan>{all})
    cover.steps.push_back(make_steps(phase, rows, columns, words));
  return cover;
}

// Those words of all units.
ConvStream::Steps ConvStream::make_steps(const Phase& phase, const AxisRun& rows, const AxisRun& columns,
                                         const AxisSpan& words) const {
  const StreamProblem& p = problem_;
  Steps steps;
  const int64_t taps = static_cast<int64_t>(phase.taps.size());
  for (int64_t unit = 0; unit < chunk_; ++unit) {
    int64_t tap = 0;
    for (size_t i = 0; i < phase.row.taps.size(); ++i) {
      for (size_t j = 0; j < phase.column.taps.size(); ++j, ++tap) {
        steps.before.push_back(static_cast<int64_t>(steps.entries.size()));
        if (i < rows.tap || i >= rows.tap_end || j < columns.tap || j >= columns.tap_end) continue;
        const AxisTap &r = phase.row.taps[i], &c = phase.column.taps[j];
        const int64_t offset = lies_as_source()
                                   ? (p.rows.where(r) * p.columns.source + p.columns.where(c)) * pixel_floats()
                                   : band_pack_.offset(r, c);
        const int64_t a = unit * planes_ * unit_floats_ + offset;
        const int64_t whole = unit * lanes_ / panel_lanes(), half = unit * lanes_ % panel_lanes();
        const int64_t b = (whole * taps + tap) * panel_floats(1) + half * kBlock;
        const int64_t depth = unit == units_ - 1 ? round_up(last_depth(), phase.depth) : lanes_;
        for (const auto& [x, w] : products_) {
          const int64_t first = std::max<int64_t>(0, words.first - unit * lanes_);
          for (int64_t q = first; q < std::min(depth, words.end - unit * lanes_); q += phase.depth)
            steps.entries.push_back({a + x * unit_floats_ + q, b + (w * lanes_ + q) * kBlock});
        }
      }
    }
  }
  steps.before.push_back(static_cast<int64_t>(steps.entries.size()));
  return steps;
}

// Steps of `units` units cut into pieces that fit L1, at unit boundaries when several units fit.
std::vector<ConvStream::Piece> ConvStream::make_pieces(int64_t taps, int64_t units, int64_t depth) const {
  const int64_t fitting = std::max<int64_t>(1, panel_bytes(*kernels_) / 4 / (planes_ * lanes_ * kBlock * step_));
  const int64_t most = planes_ == kMaxPlanes ? std::min(fitting, kExactSteps) : fitting;
  const int64_t total = taps * units;
  const int64_t size = taps == 0 ? 1 : taps <= most ? most / taps * taps : even(taps, most);
  std::vector<Piece> pieces;
  for (int64_t first = 0; first < total; first += size) pieces.push_back({first, std::min(size, total - first), depth});
  return pieces;
}

// Of every band, or of a whole one and of the last: the bands of a cover that begins or ends between them differ.
void ConvStream::make_tiles(Phase* phase) const {
  const bool alike = phase->covers.size() == 1 && phase->covers[0].rows.count == phase->row.outputs;
  phase->tiles.clear();
  for (int64_t band = alike ? std::max<int64_t>(0, bands_ - 2) : 0; band < bands_; ++band) {
    std::vector<Tile> tiles;
    // The last band of the longest phase may hold a row more than this one has.
    const int64_t first = band * band_, rows = std::min(band_, phase->row.outputs - first);
    for (size_t i = 0; i < phase->covers.size(); ++i) add_tiles(*phase, static_cast<int>(i), first, rows, &tiles);
    phase->tiles.push_back(std::move(tiles));
  }
}

const std::vector<ConvStream::Tile>& ConvStream::tiles_of(const Task& task, const Phase& phase) const {
  const size_t sets = phase.tiles.size();
  const bool each = sets == static_cast<size_t>(bands_);
  return phase.tiles[each ? static_cast<size_t>(task.row / band_) : task.last_band ? sets - 1 : 0];
}

// Every pixel of a cover in rows [first, first + rows) of a phase, in tiles of nearly equal height along the rows, on
// across them where they follow each other without a gap in the operand and in the destination, or down the columns.
void ConvStream::add_tiles(const Phase& phase, int index, int64_t first, int64_t rows, std::vector<Tile>* tiles) const {
  const StreamProblem& p = problem_;
  const Cover& cover = phase.covers[static_cast<size_t>(index)];
  const int64_t top = std::max(first, cover.rows.first);
  const int64_t height = std::min(first + rows, cover.rows.first + cover.rows.count) - top, width = cover.columns.count;
  if (height <= 0) return;
  const int64_t most = abreast_ ? 1 : kernels_->rows[step_ - 1];
  // From one pixel to the next along a row, and down a column, in pixels of the operand and of the destination.
  const int64_t a_right = lies_as_source() ? p.columns.step() : p.columns.pace;
  const int64_t a_down = lies_as_source() ? p.rows.step() * p.columns.source : band_pack_.pitch();
  const int64_t c_right = phase.column.step, c_down = phase.row.step * p.dest_w;
  const bool flat = a_down == width * a_right && c_down == width * c_right;
  const bool down = !flat && width * ceil_div(height, most) < height * ceil_div(width, most);
  const int64_t lines = flat ? 1 : down ? width : height, length = flat ? height * width : down ? height : width;
  const int64_t half = lines > 1 && !abreast_ ? last_half(*kernels_, length, step_) : 0, whole = length - half;
  const int64_t words = flat && a_right == 1 && comes_in_strips() ? strip_words() : 0;
  const int64_t strip = words > 0 ? length / kBrgemmStripRows * kBrgemmStripRows : 0;
  const int64_t parts = ceil_div(whole, most), a_step = down ? a_down : a_right, c_step = down ? c_down : c_right;
  const int64_t a_line = down ? a_right : a_down, c_line = down ? c_right : c_down;
  // Taps of a plane that do not follow each other in the panel.
  const bool gaps = p.planar && cover.steps[0].entries.size() + 1 < cover.steps[0].before.size();
  const int64_t a_first = (top - first) * a_down + cover.columns.first * a_right;
  const int64_t c_first = (phase.row.first + (top - first) * phase.row.step) * p.dest_w + phase.column.first +
                          cover.columns.first * c_right;
  const auto tile = [&](int64_t line, int64_t begin, int64_t end) {
    const int64_t a = a_first + line * a_line + begin * a_step, c = c_first + line * c_line + begin * c_step;
    const bool apart = gaps || (!p.planar && !abreast_ && a_step != 1);
    return Tile{a * pixel_floats(),
                c * kBlock,
                a_step * lanes_,
                c_step * kBlock,
                static_cast<int>(end - begin),
                index,
                apart ? BrgemmRows::kRows : rows_kind_};
  };
  if (strip > 0) {
    tiles->push_back(tile(0, 0, strip));
    tiles->back().strip = words;
    if (strip < length) tiles->push_back(tile(0, strip, length));
    return;
  }
  for (int64_t line = 0; line < lines; ++line) {
    for (int64_t part = 0; part < parts; ++part)
      tiles->push_back(
          tile(line, tile_begin(*kernels_, most, whole, part), tile_begin(*kernels_, most, whole, part + 1)));
  }
  if (half > 0) join_halves(tile(0, whole, length), lines, a_line * pixel_floats(), c_line * kBlock, tiles);
}

// Words of a sum, if strips can have so few; else 0. Channels that do not exist are zeros, in pixels and panels. A
// strip is a single call: too few to share among what is asked for ahead.
int64_t ConvStream::strip_words() const {
  const StreamProblem& p = problem_;
  const int64_t words = (units_ - 1) * lanes_ + round_up(last_depth(), kBrgemmUnroll);
  const bool plain = p.tap_offsets.size() == 1 && p.weight.parts == 1 && planes_ == 1 && !abreast_ && !asks_ahead_;
  return plain && kernels_->strip(rows_kind_, words) ? words : 0;
}

bool ConvStream::comes_in_strips() const { return strip_words() > 0 && step_ == 1 && chunks_ == 1; }

// Of as many lines, the first of which is given: two lines' as one tile, and what is left alone.
void ConvStream::join_halves(const Tile& half, int64_t lines, int64_t a_line, int64_t c_line,
                             std::vector<Tile>* tiles) {
  for (int64_t line = 0; line < lines; line += 2) {
    Tile tile = half;
    tile.a += line * a_line, tile.c += line * c_line;
    if (line + 1 < lines) tile.kind = BrgemmRows::kTwoRuns, tile.a_second = a_line, tile.c_second = c_line;
    tiles->push_back(tile);
  }
}

int64_t ConvStream::count_beyond() const {
  if (kernels_->tile_rows == 1) return 0;
  int64_t step = 0;
  for (const Phase& phase : phases_) {
    for (const std::vector<Tile>& tiles : phase.tiles) {
      for (const Tile& tile : tiles) step = std::max(step, tile.a_step);
    }
  }
  return step * kernels_->tile_rows;
}

ConvStream::Task ConvStream::task(int64_t index) const {
  Task t;
  t.block = index % splits_ * split_blocks_, index /= splits_;
  t.blocks = std::min(split_blocks_, dest_blocks_ - t.block);
  t.last_band = index % bands_ == bands_ - 1;
  t.row = index % bands_ * band_, index /= bands_;
  t.rows = std::min(band_, outputs_ - t.row);
  t.image = index % image_groups_ * group_images_, index /= image_groups_;
  t.images = std::min(group_images_, problem_.images - t.image);
  t.group = index;
  return t;
}

}  // namespace fovea
