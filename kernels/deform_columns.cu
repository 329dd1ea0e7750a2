// Modulated deformable convolution 3x3, stride 1, padding 1 (Zhu et al., Deformable ConvNets v2, arXiv 1811.11168):
// the sampling half. It writes the columns of a strip of rows; the product with the weights is one matrix product
// after it, while the columns are still in the L2 cache. The sigmoid of the mask is fused in.
//
// A group of LANES lanes works on one deformable group of one pixel, sixteen bytes of channels a lane; a block works
// on a tile of pixels.
//
// Constants: VALUE and OFFSET (storage types), GROUPS, CHANNELS (of a group), TILE_HEIGHT and TILE_WIDTH (powers of two).
#include "sampling.cuh"

constexpr int LANES = CHANNELS * VALUE::BYTES / 16;
constexpr int TAPS = 9;
constexpr int ROUNDS = (TAPS + LANES - 1) / LANES;
constexpr int PIXEL_LANES = GROUPS * LANES;
constexpr unsigned PIXEL = PIXEL_LANES * 16;  // bytes of a pixel of `input`
constexpr int THREADS = TILE_HEIGHT * TILE_WIDTH * PIXEL_LANES;

struct Arguments {
    const void* input;        // (B, height, width, GROUPS * CHANNELS)
    const void* offset_mask;  // (B, 27 * GROUPS, height, width), any strides, in elements
    void* columns;            // (rows, width, TAPS, GROUPS * CHANNELS)
    long long batch_stride, channel_stride, row_stride, column_stride;  // of offset_mask
    int height, width;
    int first_row, rows;  // the strip, in rows of all images one below the other
};

extern "C" __global__ void __launch_bounds__(THREADS) deform_columns(const __grid_constant__ Arguments a) {
    const int lane = threadIdx.x % LANES;
    const int group = threadIdx.x / LANES % GROUPS;
    const int member = threadIdx.x / PIXEL_LANES;
    const int strip_row = blockIdx.y * TILE_HEIGHT + member / TILE_WIDTH;
    const int column = blockIdx.x * TILE_WIDTH + member % TILE_WIDTH;
    const bool exists = strip_row < a.rows && column < a.width;
    const int row = a.first_row + min(strip_row, a.rows - 1), x = min(column, a.width - 1);
    const int image = row / a.height, y = row % a.height;

    const char* input = static_cast<const char*>(a.input) + static_cast<long long>(image) * a.height * a.width * PIXEL +
                        (group * LANES + lane) * 16;
    const long long pixel = image * a.batch_stride + y * a.row_stride + x * a.column_stride;
    uint4* output = static_cast<uint4*>(a.columns) +
                    (static_cast<long long>(strip_row) * a.width + column) * TAPS * PIXEL_LANES + group * LANES + lane;
    const unsigned right = a.width > 1 ? PIXEL : 0;
    const unsigned down = a.height > 1 ? a.width * PIXEL : 0;

#pragma unroll 1
    for (int round = 0; round < ROUNDS; ++round) {
        const int own = min(round * LANES + lane, TAPS - 1);
        const long long offset = pixel + (18 * group + 2 * own) * a.channel_stride;
        const long long mask = pixel + (18 * GROUPS + 9 * group + own) * a.channel_stride;
        const float dy = load(OFFSET(), a.offset_mask, offset);
        const float dx = load(OFFSET(), a.offset_mask, offset + a.channel_stride);
        const float weight = sigmoid(load(OFFSET(), a.offset_mask, mask));
        const Corners mine = corners(neighbours(y - 1 + own / 3, dy, a.height), neighbours(x - 1 + own % 3, dx, a.width),
                                     a.width, 0, PIXEL, weight);
#pragma unroll
        for (int owner = 0; owner < LANES; ++owner) {
            const int tap = round * LANES + owner;
            if (tap >= TAPS) break;
            Channels<VALUE> sum;
            add_sample(sum, input, shared<LANES>(mine, owner), right, down);
            if (exists) output[tap * PIXEL_LANES] = sum.stored();
        }
    }
}
