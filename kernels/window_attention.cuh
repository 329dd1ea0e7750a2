// What the kernels of attention in shifted windows share: a block works on one head of one window, a warp on sixteen of
// its queries.
//
// Constants: VALUE (storage type), WINDOW (side, in tokens).
#pragma once

#include "storage.cuh"

constexpr int HEAD = 32;                            // channels of a head
constexpr int TOKENS = WINDOW * WINDOW;
constexpr int TILES = (TOKENS + 15) / 16;           // of sixteen queries, a warp each
constexpr int THREADS = 32 * TILES;
constexpr int SIDE = 2 * WINDOW - 1;                // of the table of position biases
constexpr float REGION_MASK = -100.0f;              // finite, as published
constexpr float SCALE = 0.17677669529663687f;       // 1 / sqrt(HEAD)
constexpr float LOWEST = -3.0e38f;                  // below any score, and no infinity: the difference of two would be NaN

struct Arguments {
    const void* qkv;      // (B, height, width, 3, heads, HEAD), 16-byte aligned
    const void* padding;  // (3, heads, HEAD): q, k and v of a token beyond the map
    const float* table;   // (heads, SIDE * SIDE): bias of a pair by its distance down and across
    void* output;         // (B, height, width, heads, HEAD), 16-byte aligned
    int height, width, shift, windows_across, windows_down;
};

// Where token `slot` of this block's window lies in the map, or -1 in the padding
__device__ inline int token_of(const Arguments& a, int slot) {
    const int down = blockIdx.x / a.windows_across, across = blockIdx.x % a.windows_across;
    int y = down * WINDOW + slot / WINDOW + a.shift, x = across * WINDOW + slot % WINDOW + a.shift;
    y -= y >= a.windows_down * WINDOW ? a.windows_down * WINDOW : 0;
    x -= x >= a.windows_across * WINDOW ? a.windows_across * WINDOW : 0;
    return y < a.height && x < a.width ? y * a.width + x : -1;
}

// Which part of the map a token of this window comes from: tokens of different ones do not attend to each other
__device__ inline int region_of(const Arguments& a, int slot) {
    if (a.shift == 0) return 0;
    const bool last_row = static_cast<int>(blockIdx.x) / a.windows_across == a.windows_down - 1;
    const bool last_column = static_cast<int>(blockIdx.x) % a.windows_across == a.windows_across - 1;
    return 2 * (last_row && slot / WINDOW >= WINDOW - a.shift) + (last_column && slot % WINDOW >= WINDOW - a.shift);
}

// What a key takes from a query's place in the table of biases, and its region above that
__device__ inline int key_place(const Arguments& a, int slot) {
    return slot / WINDOW * SIDE + slot % WINDOW + (region_of(a, slot) << 16);
}

__device__ inline int query_place(int slot) {
    return slot / WINDOW * SIDE + slot % WINDOW + (WINDOW - 1) * (SIDE + 1);
}

// Sixteen bytes, the `part`th of the head's, of a token's q (0), k (1) or v (2)
__device__ inline uint4 load_part(const Arguments& a, int token, int which, int part) {
    const long long heads = gridDim.y, head = blockIdx.y;
    const long long pixel = static_cast<long long>(blockIdx.z) * a.height * a.width + token;
    const char* bytes = static_cast<const char*>(token < 0 ? a.padding : a.qkv);
    return load16(bytes + (((token < 0 ? 0 : 3 * pixel) + which) * heads + head) * HEAD * VALUE::BYTES + 16 * part);
}

__device__ inline void store_part(const Arguments& a, int token, int part, uint4 words) {
    const long long pixel = static_cast<long long>(blockIdx.z) * a.height * a.width + token;
    char* row = static_cast<char*>(a.output) + (pixel * gridDim.y + blockIdx.y) * HEAD * VALUE::BYTES;
    reinterpret_cast<uint4*>(row)[part] = words;
}

// The maximum or sum over the LANES neighbouring lanes that share a query
template <int LANES>
__device__ float over_row(float x, bool maximum) {
#pragma unroll
    for (int other = 1; other < LANES; other *= 2) {
        const float y = __shfl_xor_sync(ALL_LANES, x, other);
        x = maximum ? fmaxf(x, y) : x + y;
    }
    return x;
}
