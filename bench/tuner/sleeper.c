/* A native backend of Triton that computes nothing: as vendors' are, a library in the server's own process.
 *
 * A batch of b takes BASE_US + b * EACH_US microseconds and gives the outputs boxes [4, 4], scores [4] and
 * classes [4] of each image, always the same. An instance takes LOAD_US to make and UNLOAD_US to end, as an engine
 * does; it holds a memfd "sleeper-instance", by which instances can be counted from outside.
 *
 * The few declarations that it needs of tritonbackend.h and tritonserver.h (BSD-3-Clause) stand here: that interface
 * is stable, and the wheel that brings tritonserver has no headers.
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef struct Error Error;
typedef struct Input Input;
typedef struct Instance Instance;
typedef struct Output Output;
typedef struct Request Request;
typedef struct Response Response;

enum { INTERNAL = 1, TYPE_INT32 = 8, TYPE_FP32 = 11, MEMORY_CPU = 0, RELEASE_ALL = 1, COMPLETE_FINAL = 1 };

Error *TRITONSERVER_ErrorNew(int code, const char *message);
void TRITONSERVER_ErrorDelete(Error *error);
Error *TRITONBACKEND_ModelInstanceSetState(Instance *, void *state);
Error *TRITONBACKEND_ModelInstanceState(Instance *, void **state);
Error *TRITONBACKEND_RequestInputByIndex(Request *, uint32_t index, Input **);
Error *TRITONBACKEND_InputProperties(Input *, const char **name, int *type, const int64_t **shape, uint32_t *dims,
                                     uint64_t *bytes, uint32_t *buffers);
Error *TRITONBACKEND_RequestOutputCount(Request *, uint32_t *count);
Error *TRITONBACKEND_RequestOutputName(Request *, uint32_t index, const char **name);
Error *TRITONBACKEND_ResponseNew(Response **, Request *);
Error *TRITONBACKEND_ResponseOutput(Response *, Output **, const char *name, int type, const int64_t *shape,
                                    uint32_t dims);
Error *TRITONBACKEND_OutputBuffer(Output *, void **buffer, uint64_t bytes, int *memory, int64_t *memory_id);
Error *TRITONBACKEND_ResponseSend(Response *, uint32_t flags, Error *);
Error *TRITONBACKEND_RequestRelease(Request *, uint32_t flags);
Error *TRITONBACKEND_ModelInstanceReportStatistics(Instance *, Request *, bool success, uint64_t begin,
                                                   uint64_t compute_begin, uint64_t compute_end, uint64_t end);
Error *TRITONBACKEND_ModelInstanceReportBatchStatistics(Instance *, uint64_t size, uint64_t begin,
                                                        uint64_t compute_begin, uint64_t compute_end, uint64_t end);

static uint64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void wait_us(uint64_t us) {
    struct timespec left = {(time_t)(us / 1000000u), (long)(us % 1000000u) * 1000};
    while (nanosleep(&left, &left) != 0) {
    }
}

static void drop(Error *error) {
    if (error) TRITONSERVER_ErrorDelete(error);
}

static Error *images_of(Request *request, int64_t *images) {
    Input *input;
    const int64_t *shape;
    Error *error = TRITONBACKEND_RequestInputByIndex(request, 0, &input);
    if (!error) error = TRITONBACKEND_InputProperties(input, NULL, NULL, &shape, NULL, NULL, NULL);
    if (!error) *images = shape[0];
    return error;
}

static Error *fill(Response *response, const char *name, int64_t images) {
    static const float box[16] = {10, 10, 60, 60, 80, 80, 90, 200, 1, 2, 3, 4, 9, 9, 300, 300};
    const bool boxes = strcmp(name, "boxes") == 0, classes = strcmp(name, "classes") == 0;
    const int64_t shape[3] = {images, 4, 4};
    const uint64_t each = boxes ? sizeof box : 4 * 4;
    int memory = MEMORY_CPU;
    int64_t memory_id = 0;
    Output *output;
    char *buffer;
    Error *error = TRITONBACKEND_ResponseOutput(response, &output, name, classes ? TYPE_INT32 : TYPE_FP32, shape,
                                                boxes ? 3 : 2);
    if (!error) error = TRITONBACKEND_OutputBuffer(output, (void **)&buffer, each * (uint64_t)images, &memory, &memory_id);
    if (error) return error;
    if (memory > MEMORY_CPU + 1) return TRITONSERVER_ErrorNew(INTERNAL, "outputs in the memory of a device");
    for (int64_t image = 0; image < images; image++, buffer += each) {
        if (boxes) memcpy(buffer, box, sizeof box);
        else if (classes) memset(buffer, 0, each);
        else for (int number = 0; number < 4; number++) ((float *)buffer)[number] = 0.9f;
    }
    return NULL;
}

static Error *answer(Request *request, Response *response, int64_t images) {
    uint32_t count = 0;
    Error *error = TRITONBACKEND_RequestOutputCount(request, &count);
    for (uint32_t index = 0; !error && index < count; index++) {
        const char *name;
        error = TRITONBACKEND_RequestOutputName(request, index, &name);
        if (!error) error = fill(response, name, images);
    }
    return error;
}

Error *TRITONBACKEND_ModelInstanceInitialize(Instance *instance) {
    wait_us(LOAD_US);
    return TRITONBACKEND_ModelInstanceSetState(instance, (void *)(intptr_t)memfd_create("sleeper-instance", MFD_CLOEXEC));
}

Error *TRITONBACKEND_ModelInstanceFinalize(Instance *instance) {
    void *descriptor;
    Error *error = TRITONBACKEND_ModelInstanceState(instance, &descriptor);
    wait_us(UNLOAD_US);
    if (!error) close((int)(intptr_t)descriptor);
    return error;
}

Error *TRITONBACKEND_ModelInstanceExecute(Instance *instance, Request **requests, uint32_t count) {
    const uint64_t begin = now();
    int64_t images[64] = {0}, all = 0;
    if (count > 64) return TRITONSERVER_ErrorNew(INTERNAL, "more requests than it is made for");
    for (uint32_t index = 0; index < count; index++) {
        drop(images_of(requests[index], &images[index]));
        all += images[index];
    }
    wait_us(BASE_US + (uint64_t)all * EACH_US);
    const uint64_t computed = now();
    for (uint32_t index = 0; index < count; index++) {
        Response *response;
        Error *error = TRITONBACKEND_ResponseNew(&response, requests[index]);
        bool good = error == NULL;
        if (good) {
            error = answer(requests[index], response, images[index]);
            good = error == NULL;
            drop(TRITONBACKEND_ResponseSend(response, COMPLETE_FINAL, error));
        }
        drop(error);
        drop(TRITONBACKEND_ModelInstanceReportStatistics(instance, requests[index], good, begin, begin, computed, now()));
        drop(TRITONBACKEND_RequestRelease(requests[index], RELEASE_ALL));
    }
    drop(TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, (uint64_t)all, begin, begin, computed, now()));
    return NULL;
}
