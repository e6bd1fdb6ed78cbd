/* YoMo guest without an SDK: the payload is a URL; emits the answer of the web server, as JSON, on the next tag. A request
 * that is refused or fails is emitted as {"error": N}. */

#include "yomo.h"

static char url[2048];
static char request[sizeof url + 64];
static unsigned char answers[64 * 1024];

YOMO_EXPORT(yomo_observe_datatags) void observe_datatags(void) {
    yomo_observe_datatag(0x20);
}

YOMO_EXPORT(yomo_init) yomo_u32 init(void) {
    return 0;
}

YOMO_EXPORT(yomo_alloc) void *alloc(yomo_u32 size) {
    return size <= sizeof answers ? answers : 0;
}

static yomo_size append(yomo_size at, const char *text) {
    while (*text) {
        request[at++] = *text++;
    }
    return at;
}

YOMO_EXPORT(yomo_handler) void handler(void) {
    yomo_u32 size = yomo_context_data(url, sizeof url - 1);
    void *answer;
    yomo_u32 answer_size;
    if (size >= sizeof url) {
        __builtin_trap();
    }
    url[size] = 0;
    yomo_size end = append(append(append(0, "{\"Method\":\"GET\",\"URL\":\""), url), "\"}");
    yomo_u32 code = yomo_http_send(request, (yomo_u32)end, &answer, &answer_size);
    if (code == 0) {
        yomo_write(yomo_context_tag() + 1, answer, answer_size);
    } else {
        char text[] = "{\"error\": ?}";
        text[10] = (char)('0' + code);
        yomo_write(yomo_context_tag() + 1, text, sizeof text - 1);
    }
}
