// A libcuda.so.1 without a GPU: the functions that the launcher calls, strict about their use. Launches go to a callback.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, INVALID_IMAGE = 200, INVALID_CONTEXT = 201, NO_BINARY_FOR_GPU = 209, INVALID_HANDLE = 400 };

typedef struct { const void *image; } Library;
typedef struct { const Library *library; char name[64]; int context; } Kernel;
typedef void (*Launched)(const char *kernel, int context, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                         unsigned threads, uintptr_t stream, void **parameters);

static Launched launched;
static _Thread_local uintptr_t context;  // CONTEXT + device, 0: none, as in a thread that has called nothing yet
enum { CONTEXT = 0xc0 };

void stub_on_launch(Launched callback) { launched = callback; }

int cuInit(unsigned flags) { return flags ? INVALID_VALUE : SUCCESS; }
int cuDriverGetVersion(int *version) { return *version = 13000, SUCCESS; }
int cuCtxGetCurrent(void **current) { return *current = (void *)context, SUCCESS; }
int cuCtxSetCurrent(void *current) { return context = (uintptr_t)current, SUCCESS; }
int cuDevicePrimaryCtxRetain(void **primary, int device) { return *primary = (void *)(uintptr_t)(CONTEXT + device), SUCCESS; }

int cuLibraryLoadData(void **library, const void *code, void *a, void *b, unsigned c, void *d, void *e, unsigned f) {
    (void)a, (void)b, (void)d, (void)e;
    if (c || f) return INVALID_VALUE;
    if (getenv("STUB_NO_BINARY")) return NO_BINARY_FOR_GPU;
    if (memcmp(code, "\177ELF", 4)) return INVALID_IMAGE;
    Library *loaded = malloc(sizeof *loaded);
    loaded->image = code;
    return *library = loaded, SUCCESS;
}

int cuLibraryGetKernel(void **kernel, void *library, const char *name) {
    Kernel *found = calloc(1, sizeof *found);
    found->library = library;
    strncpy(found->name, name, sizeof found->name - 1);
    return *kernel = found, SUCCESS;
}

int cuKernelGetFunction(void **function, void *kernel) {
    if (!context) return INVALID_CONTEXT;
    ((Kernel *)kernel)->context = (int)context;
    return *function = kernel, SUCCESS;
}

int cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                   unsigned block_z, unsigned shared, void *stream, void **parameters, void **extra) {
    const Kernel *kernel = function;
    if (!context) return INVALID_CONTEXT;
    if (kernel->context != (int)context) return INVALID_HANDLE;
    if (!grid_x || !grid_y || !grid_z || grid_y > 65535 || grid_z > 65535 || block_x > 1024) return INVALID_VALUE;
    if (block_y != 1 || block_z != 1 || shared || extra || !parameters) return INVALID_VALUE;
    launched(kernel->name, (int)context - CONTEXT, grid_x, grid_y, grid_z, block_x, (uintptr_t)stream, parameters);
    return SUCCESS;
}

// cuda.bindings finds every function through this one.
int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status) {
    (void)version, (void)flags;
    static const struct { const char *name; void *function; } table[] = {
#define FUNCTION(name) {#name, (void *)name}
        FUNCTION(cuInit), FUNCTION(cuDriverGetVersion), FUNCTION(cuCtxGetCurrent), FUNCTION(cuCtxSetCurrent),
        FUNCTION(cuDevicePrimaryCtxRetain), FUNCTION(cuLibraryLoadData), FUNCTION(cuLibraryGetKernel),
        FUNCTION(cuKernelGetFunction), FUNCTION(cuLaunchKernel), FUNCTION(cuGetProcAddress_v2),
    };
    *function = NULL;
    for (size_t i = 0; i < sizeof table / sizeof *table; ++i)
        if (!strcmp(name, table[i].name)) *function = table[i].function;
    if (!strcmp(name, "cuGetProcAddress")) *function = (void *)cuGetProcAddress_v2;
    if (status) *status = *function ? 0 : 1;
    return SUCCESS;
}
