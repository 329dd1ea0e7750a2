// Attention in shifted windows, forward (Liu et al., Swin Transformer, arXiv 2103.14030): padding to whole windows,
// shift, cut, softmax(q . k / sqrt(d) + position bias + region mask) v, and back to the map, in one pass over q, k and v.
//
// A block works on one head of one window, a warp on sixteen of its queries. Keys and values of the window lie in shared
// memory; scores never leave registers: CHUNK keys at a time, with the running maximum and sum of FlashAttention (Dao et
// al., arXiv 2205.14135, algorithm 1).
//
// A lane holds eight neighbouring channels. Which channel a product calls first does not matter as long as both factors
// agree: sixteen bytes of a query, and of a key, are two steps of the product as they lie. The words of a value are
// stored so that a lane's part of the result is sixteen neighbouring bytes, too.
//
// Constants: VALUE (Float16 or BFloat16), WINDOW (side, in tokens).
#include "mma.cuh"
#include "window_attention.cuh"

constexpr int KEYS = 16 * TILES;                    // those beyond the window weigh nothing
constexpr int CHUNK_TILES = TILES % 3 ? 2 : 3;      // of sixteen keys
constexpr int BLOCKS = TILES > 4 ? 2 : 4;           // a multiprocessor, at least
constexpr int KEY_PITCH = HEAD / 2;                 // words; eight lanes load two rows whole, from every bank once
constexpr int VALUE_PITCH = HEAD / 2 + 4;           // eight rows of four words, from every bank once
static_assert(TILES % CHUNK_TILES == 0, "chunks are whole");

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) window_attention(const __grid_constant__ Arguments a) {
    __shared__ uint4 keys[KEYS * KEY_PITCH / 4], values[KEYS * VALUE_PITCH / 4];
    __shared__ float biases[SIDE * SIDE];
    __shared__ int places[KEYS];

    const int lane = threadIdx.x % 32, t = lane % 4, first_query = threadIdx.x / 32 * 16 + lane / 4;
    unsigned* value_words = reinterpret_cast<unsigned*>(values);
#pragma unroll
    for (int round = 0; round < 2; ++round) {  // KEYS keys of four parts, two of them a thread
        const int i = round * THREADS + threadIdx.x, slot = i / 4, part = i % 4;
        uint4 key = make_uint4(0, 0, 0, 0), value = key;
        if (slot < TOKENS) {
            const int token = token_of(a, slot);
            key = load_part(a, token, 1, part);
            value = load_part(a, token, 2, part);
        }
        keys[slot * KEY_PITCH / 4 + part] = key;
        unsigned* row = value_words + slot * VALUE_PITCH + part;
        row[0] = value.x;
        row[4] = value.y;
        row[8] = value.z;
        row[12] = value.w;
    }
    for (int i = threadIdx.x; i < SIDE * SIDE; i += THREADS)
        biases[i] = __ldg(a.table + static_cast<long long>(blockIdx.y) * SIDE * SIDE + i);
    for (int i = threadIdx.x; i < KEYS; i += THREADS) places[i] = key_place(a, min(i, TOKENS - 1));

    // Rows g and g + 8 of this warp's queries
    int place[2], region[2];
    unsigned query[2][4];  // the words of A in two steps
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const int slot = first_query + 8 * r;
        place[r] = query_place(min(slot, TOKENS - 1));
        region[r] = region_of(a, slot);
        const uint4 words = load_part(a, slot < TOKENS ? token_of(a, slot) : -1, 0, t);
        query[0][r] = words.x;
        query[0][r + 2] = words.y;
        query[1][r] = words.z;
        query[1][r + 2] = words.w;
    }
    __syncthreads();

    float peak[2] = {LOWEST, LOWEST}, total[2] = {0.0f, 0.0f}, sums[4][4] = {};
    for (int chunk = 0; chunk < TILES; chunk += CHUNK_TILES) {
        float scores[2 * CHUNK_TILES][4] = {};
        float higher[2] = {peak[0], peak[1]};
#pragma unroll
        for (int n = 0; n < 2 * CHUNK_TILES; ++n) {
            const int first_key = 16 * chunk + 8 * n;
            const uint4 key = keys[(first_key + lane / 4) * KEY_PITCH / 4 + t];
            const unsigned steps[2][2] = {{key.x, key.y}, {key.z, key.w}};
            multiply(VALUE(), scores[n], query[0], steps[0]);
            multiply(VALUE(), scores[n], query[1], steps[1]);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int key_slot = first_key + 2 * t + i % 2, r = i / 2, other = places[key_slot];
                const float mask = other >> 16 == region[r] ? 0.0f : REGION_MASK;
                const float bias = biases[place[r] - (other & 0xffff)] + mask;
                scores[n][i] = key_slot < TOKENS ? fmaf(scores[n][i], SCALE, bias) : LOWEST;
                higher[r] = fmaxf(higher[r], scores[n][i]);
            }
        }
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            higher[r] = over_row<4>(higher[r], true);
            const float shrunk = __expf(peak[r] - higher[r]);
            peak[r] = higher[r];
            total[r] *= shrunk;
#pragma unroll
            for (int n = 0; n < 4; ++n) {
                sums[n][2 * r] *= shrunk;
                sums[n][2 * r + 1] *= shrunk;
            }
        }
#pragma unroll
        for (int step = 0; step < CHUNK_TILES; ++step) {
            unsigned weights[4];
#pragma unroll
            for (int word = 0; word < 4; ++word) {
                const int n = 2 * step + word / 2, r = word % 2;
                const float left = __expf(scores[n][2 * r] - peak[r]), right = __expf(scores[n][2 * r + 1] - peak[r]);
                total[r] += left + right;
                weights[word] = pack(VALUE(), left, right);
            }
#pragma unroll
            for (int n = 0; n < 4; ++n) {
                unsigned b[2];
                load_b(b, value_words + 16 * (chunk + step) * VALUE_PITCH, VALUE_PITCH, 4 * n);
                multiply(VALUE(), sums[n], weights, b);
            }
        }
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const float share = __fdividef(1.0f, over_row<4>(total[r], false));
        const int slot = first_query + 8 * r, token = token_of(a, slot);  // again, rather than kept in a register
        if (slot >= TOKENS || token < 0) continue;
        unsigned words[4];
#pragma unroll
        for (int n = 0; n < 4; ++n) words[n] = pack(VALUE(), sums[n][2 * r] * share, sums[n][2 * r + 1] * share);
        store_part(a, token, t, make_uint4(words[0], words[1], words[2], words[3]));
    }
}
