// Tile instructions of AMX in software, for testing their kernels on a CPU that has none: preloaded as a shared library, it
// catches the fault of each instruction that this CPU does not know, does what Intel's manual says (SDM volume 2:
// LDTILECFG, TILELOADD, TILESTORED, TILEZERO, TILERELEASE, TDPBF16PS) and goes on behind it. The very object code that users
// get is run. Whatever hardware would refuse ends the process with a word on what it was.
//
//   g++ -O3 -march=x86-64-v3 -shared -fPIC -o libamx.so emulator.cc && LD_PRELOAD=./libamx.so FOVEA_CPU=amx node …
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

extern "C" void fovea_amx_emulator() {}  // native/cpu/features.cc looks for it

namespace {

struct Tile {
  int rows = 0, bytes = 0;
  uint8_t data[16][64];
};
struct State {
  bool configured = false;
  Tile tile[8];
};
thread_local State state;

[[noreturn]] void refuse(const char* what) {
  fprintf(stderr, "amx emulator: %s\n", what);
  abort();
}

struct Instruction {
  int map, prefix, opcode, reg, vvvv, length;
  bool memory;
  int rm;            // a register if not memory
  uint64_t address;  // base + displacement
  uint64_t stride;   // the index register
};

uint64_t general(const ucontext_t* context, int number) {
  static const int order[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return static_cast<uint64_t>(context->uc_mcontext.gregs[order[number]]);
}

// VEX.128 with three bytes of prefix, ModRM, and SIB with displacement for memory. False for anything else.
bool decode(const uint8_t* code, const ucontext_t* context, Instruction* out) {
  if (code[0] != 0xc4) return false;
  const bool x = !(code[1] & 0x40), b = !(code[1] & 0x20), r = !(code[1] & 0x80);
  out->map = code[1] & 0x1f;
  if (code[2] & 0x84) return false;  // W and L are 0
  out->vvvv = ~(code[2] >> 3) & 15;
  out->prefix = code[2] & 3;
  out->opcode = code[3];
  const int mod = code[4] >> 6, rm = code[4] & 7;
  out->reg = ((code[4] >> 3) & 7) + (r ? 8 : 0);
  out->memory = mod != 3;
  out->rm = rm + (b ? 8 : 0);
  out->length = 5;
  if (!out->memory) return true;
  const uint8_t* at = code + 5;
  out->stride = 0;
  uint64_t base;
  if (rm == 4) {
    const int scale = *at >> 6, index = ((*at >> 3) & 7) + (x ? 8 : 0), number = (*at & 7) + (b ? 8 : 0);
    ++at;
    out->stride = index == 4 ? 0 : general(context, index) << scale;
    if (mod == 0 && (number & 7) == 5) return false;  // no base: our compiler does not make it
    base = general(context, number);
  } else if (mod == 0 && rm == 5) {  // relative to the next instruction
    int32_t displacement;
    memcpy(&displacement, at, 4);
    at += 4;
    out->length = static_cast<int>(at - code);
    out->address = reinterpret_cast<uint64_t>(at) + static_cast<uint64_t>(static_cast<int64_t>(displacement));
    return true;
  } else {
    base = general(context, out->rm);
  }
  int64_t displacement = 0;
  if (mod == 1) {
    displacement = static_cast<int8_t>(*at++);
  } else if (mod == 2) {
    int32_t wide;
    memcpy(&wide, at, 4);
    at += 4;
    displacement = wide;
  }
  out->length = static_cast<int>(at - code);
  out->address = base + static_cast<uint64_t>(displacement);
  return true;
}

void configure(const uint8_t* config) {
  if (config[0] != 1) refuse("LDTILECFG: palette is not 1");
  for (int i = 1; i < 16; ++i) {
    if (i != 1 && config[i] != 0) refuse("LDTILECFG: reserved bytes are not 0");
  }
  for (int i = 0; i < 16; ++i) {
    uint16_t bytes;
    memcpy(&bytes, config + 16 + 2 * i, 2);
    const int rows = config[48 + i];
    if (i >= 8 && (bytes != 0 || rows != 0)) refuse("LDTILECFG: there are 8 tiles");
    if (i >= 8) continue;
    if (rows > 16 || bytes > 64 || (rows == 0) != (bytes == 0)) refuse("LDTILECFG: rows or bytes out of range");
    state.tile[i].rows = rows;
    state.tile[i].bytes = bytes;
    memset(state.tile[i].data, 0, sizeof(state.tile[i].data));
  }
  state.configured = true;
}

Tile& tile(int number) {
  if (!state.configured) refuse("a tile is used before LDTILECFG or after TILERELEASE");
  if (number > 7 || state.tile[number].rows == 0) refuse("a tile that is not configured");
  return state.tile[number];
}

void load(Tile& to, const Instruction& i) {
  memset(to.data, 0, sizeof(to.data));
  for (int row = 0; row < to.rows; ++row)
    memcpy(to.data[row], reinterpret_cast<const void*>(i.address + static_cast<uint64_t>(row) * i.stride),
           static_cast<size_t>(to.bytes));
}

void save(const Tile& from, const Instruction& i) {
  for (int row = 0; row < from.rows; ++row)
    memcpy(reinterpret_cast<void*>(i.address + static_cast<uint64_t>(row) * i.stride), from.data[row],
           static_cast<size_t>(from.bytes));
}

// Denormals count as zero, in and out.
float flushed(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  if ((bits & 0x7f800000) == 0) bits &= 0x80000000;
  memcpy(&x, &bits, 4);
  return x;
}

float bf16(const uint8_t* from) {
  uint16_t half;
  memcpy(&half, from, 2);
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float x;
  memcpy(&x, &bits, 4);
  return flushed(x);
}

// c[m][n] += Σ_k a[m][2k] b[k][2n] + a[m][2k+1] b[k][2n+1]
void multiply(Tile& c, const Tile& a, const Tile& b) {
  if (&c == &a || &c == &b || &a == &b) refuse("TDPBF16PS: a tile is named twice");
  if (c.rows != a.rows || a.bytes != 4 * b.rows || c.bytes != b.bytes) refuse("TDPBF16PS: shapes do not agree");
  for (int m = 0; m < c.rows; ++m) {
    for (int k = 0; k < b.rows; ++k) {
      for (int n = 0; n < c.bytes / 4; ++n) {
        float sum;
        memcpy(&sum, c.data[m] + 4 * n, 4);
        for (int i = 0; i < 2; ++i)
          sum = flushed(__builtin_fmaf(bf16(a.data[m] + 4 * k + 2 * i), bf16(b.data[k] + 4 * n + 2 * i), sum));
        memcpy(c.data[m] + 4 * n, &sum, 4);
      }
    }
  }
}

bool execute(const Instruction& i) {
  if (i.map != 2) return false;
  enum { kNone, k66, kF3, kF2 };
  if (i.opcode == 0x49 && i.memory && i.prefix == kNone) {
    configure(reinterpret_cast<const uint8_t*>(i.address));
  } else if (i.opcode == 0x49 && !i.memory && i.prefix == kNone) {
    state = State();
  } else if (i.opcode == 0x49 && !i.memory && i.prefix == kF2) {
    memset(tile(i.reg).data, 0, sizeof(tile(i.reg).data));
  } else if (i.opcode == 0x4b && i.memory && (i.prefix == kF2 || i.prefix == k66)) {
    load(tile(i.reg), i);
  } else if (i.opcode == 0x4b && i.memory && i.prefix == kF3) {
    save(tile(i.reg), i);
  } else if (i.opcode == 0x5c && !i.memory && i.prefix == kF3) {
    multiply(tile(i.reg), tile(i.rm), tile(i.vvvv));
  } else {
    return false;
  }
  return true;
}

struct sigaction before;

void on_illegal(int signal, siginfo_t* info, void* raw) {
  ucontext_t* const context = static_cast<ucontext_t*>(raw);
  const auto* const code = reinterpret_cast<const uint8_t*>(context->uc_mcontext.gregs[REG_RIP]);
  Instruction instruction{};
  if (decode(code, context, &instruction) && execute(instruction)) {
    context->uc_mcontext.gregs[REG_RIP] += instruction.length;
    return;
  }
  sigaction(SIGILL, &before, nullptr);  // not ours: the instruction faults again, as if nobody had looked
  (void)signal, (void)info;
}

__attribute__((constructor)) void install() {
  struct sigaction action {};
  action.sa_sigaction = on_illegal;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, &before);
}

}  // namespace
