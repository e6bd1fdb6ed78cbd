/* WASI command: standard input with ASCII letters in upper case on standard output. An empty input is an error. */

#include <stdio.h>

int main(void) {
    static char text[64 * 1024];
    size_t total = 0;
    for (size_t n; (n = fread(text, 1, sizeof text, stdin)) > 0; total += n) {
        for (size_t i = 0; i < n; i++) {
            if (text[i] >= 'a' && text[i] <= 'z') {
                text[i] -= 'a' - 'A';
            }
        }
        fwrite(text, 1, n, stdout);
    }
    if (total == 0) {
        fputs("payload: got 0 bytes, expected some text\n", stderr);
        return 2;
    }
    return 0;
}
