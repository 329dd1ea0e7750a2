// kernels/window_attention.cu for float32, without tensor cores: the same pass over the map, its products by fused
// multiply-adds.
//
// A lane has the scores of ROWS queries with COLUMNS keys, and then four channels of what these queries attend to. What
// another lane of the eight that share queries holds, a part of a query or a weight, comes by a shuffle, so that neither
// queries nor weights take shared memory.
//
// Torch's own attention of float32 multiplies on tensor cores, each product as three of TF32: as exact, and on large
// devices with a higher peak (H100: 165 TFLOP/s against 67). What is saved here is the way there and back: a gather and
// a scatter, which with it move three times the bytes of this pass, in seven or eight more launches a block.
//
// Constants: VALUE (Float32), WINDOW (side, in tokens).
#include "window_attention.cuh"

constexpr int LANES = 8;                            // that share queries; a row of a head is four numbers of each
constexpr int ROWS = 4;                             // queries of a lane, 32 / LANES apart
constexpr int COLUMNS = WINDOW == 7 ? 7 : 6;        // keys of a lane at a time, LANES apart
constexpr int CHUNK = LANES * COLUMNS;
constexpr int KEYS = (TOKENS + CHUNK - 1) / CHUNK * CHUNK;  // those beyond the window weigh nothing
constexpr int PARTS = HEAD / 4;
constexpr int KEY_PITCH = PARTS + 1;                // parts; eight lanes load from eight rows, from every bank once
static_assert(PARTS == LANES, "a lane holds one part of a row");

__device__ inline float4 floats(uint4 words) {
    return make_float4(__uint_as_float(words.x), __uint_as_float(words.y), __uint_as_float(words.z), __uint_as_float(words.w));
}

// What lane `source` of the eight that share queries holds
__device__ inline float from_lane(float x, int source) { return __shfl_sync(ALL_LANES, x, source, LANES); }

extern "C" __global__ void __launch_bounds__(THREADS, TILES > 4 ? 2 : 4) window_attention_float32(
    const __grid_constant__ Arguments a) {
    __shared__ uint4 keys[KEYS * KEY_PITCH], values[KEYS * PARTS];
    __shared__ float biases[SIDE * SIDE];
    __shared__ int places[KEYS];

    for (int i = threadIdx.x; i < KEYS * PARTS; i += THREADS) {
        const int slot = i / PARTS, part = i % PARTS;
        uint4 key = make_uint4(0, 0, 0, 0), value = key;
        if (slot < TOKENS) {
            const int token = token_of(a, slot);
            key = load_part(a, token, 1, part);
            value = load_part(a, token, 2, part);
        }
        keys[slot * KEY_PITCH + part] = key;
        values[i] = value;
    }
    for (int i = threadIdx.x; i < SIDE * SIDE; i += THREADS)
        biases[i] = __ldg(a.table + static_cast<long long>(blockIdx.y) * SIDE * SIDE + i);
    for (int i = threadIdx.x; i < KEYS; i += THREADS) places[i] = key_place(a, min(i, TOKENS - 1));

    const int lane = threadIdx.x % 32, column = lane % LANES, first_query = threadIdx.x / 32 * 16 + lane / LANES;
    int place[ROWS];       // a query's region is above its place, as that of a key
    float query[ROWS][4];  // its part `column`
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        const int slot = first_query + 4 * r;
        place[r] = query_place(min(slot, TOKENS - 1)) + (region_of(a, slot) << 16);
        const float4 part = floats(load_part(a, slot < TOKENS ? token_of(a, slot) : -1, 0, column));
        query[r][0] = part.x * SCALE;
        query[r][1] = part.y * SCALE;
        query[r][2] = part.z * SCALE;
        query[r][3] = part.w * SCALE;
    }
    __syncthreads();

    float peak[ROWS], total[ROWS] = {}, sums[ROWS][4] = {};
#pragma unroll
    for (int r = 0; r < ROWS; ++r) peak[r] = LOWEST;
#pragma unroll 1
    for (int chunk = 0; chunk < KEYS; chunk += CHUNK) {
        float scores[ROWS][COLUMNS] = {};
#pragma unroll 1
        for (int part = 0; part < PARTS; ++part) {
            float4 whole[ROWS];
#pragma unroll
            for (int r = 0; r < ROWS; ++r)
                whole[r] = make_float4(from_lane(query[r][0], part), from_lane(query[r][1], part),
                                       from_lane(query[r][2], part), from_lane(query[r][3], part));
#pragma unroll
            for (int n = 0; n < COLUMNS; ++n) {
                const float4 key = floats(keys[(chunk + LANES * n + column) * KEY_PITCH + part]);
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    scores[r][n] = fmaf(whole[r].x, key.x, fmaf(whole[r].y, key.y, scores[r][n]));
                    scores[r][n] = fmaf(whole[r].z, key.z, fmaf(whole[r].w, key.w, scores[r][n]));
                }
            }
        }
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            float higher = peak[r];
#pragma unroll
            for (int n = 0; n < COLUMNS; ++n) {
                const int slot = chunk + LANES * n + column, apart = place[r] - places[slot];
                const float mask = apart >> 16 == 0 ? 0.0f : REGION_MASK;
                scores[r][n] = slot < TOKENS ? scores[r][n] + biases[apart & 0xffff] + mask : LOWEST;
                higher = fmaxf(higher, scores[r][n]);
            }
            higher = over_row<LANES>(higher, true);
            const float shrunk = __expf(peak[r] - higher);
            peak[r] = higher;
            total[r] *= shrunk;
#pragma unroll
            for (int i = 0; i < 4; ++i) sums[r][i] *= shrunk;
#pragma unroll
            for (int n = 0; n < COLUMNS; ++n) {
                scores[r][n] = __expf(scores[r][n] - higher);
                total[r] += scores[r][n];
            }
        }
#pragma unroll
        for (int n = 0; n < COLUMNS; ++n)
#pragma unroll 4
            for (int other = 0; other < LANES; ++other) {
                const float4 value = floats(values[(chunk + LANES * n + other) * PARTS + column]);
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    const float weight = from_lane(scores[r][n], other);
                    sums[r][0] = fmaf(weight, value.x, sums[r][0]);
                    sums[r][1] = fmaf(weight, value.y, sums[r][1]);
                    sums[r][2] = fmaf(weight, value.z, sums[r][2]);
                    sums[r][3] = fmaf(weight, value.w, sums[r][3]);
                }
            }
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        const float share = __fdividef(1.0f, over_row<LANES>(total[r], false));
        const uint4 words = make_uint4(__float_as_uint(sums[r][0] * share), __float_as_uint(sums[r][1] * share),
                                       __float_as_uint(sums[r][2] * share), __float_as_uint(sums[r][3] * share));
        const int slot = first_query + 4 * r, token = token_of(a, slot);
        if (slot < TOKENS && token >= 0) store_part(a, token, column, words);
    }
}
