/* Stream function: the payload with ASCII letters in upper case, on the next tag. Other bytes stay as they are. */

#include "nearfield.h"

static const char *upper_case(void) {
    nf_u32 tag = nf_frame_tag();
    if (tag == 0xffffffff) {
        return "tag 0xffffffff: there is no next tag to answer on";
    }
    nf_bytes text = nf_payload();
    for (nf_size i = 0; i < text.size; i++) {
        if (text.data[i] >= 'a' && text.data[i] <= 'z') {
            text.data[i] -= 'a' - 'A';
        }
    }
    if (nf_emit(tag + 1, text.data, text.size) != 0) {
        return "the host refused the answer; the next tag is not among `emit`, or a limit is used up";
    }
    return 0;
}

NEARFIELD_HANDLER(upper_case)
