// WASI command: standard input with ASCII letters in upper case on standard output. An empty input is an error.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err == nil && len(text) == 0 {
		err = fmt.Errorf("payload: got 0 bytes, expected some text")
	}
	for i, letter := range text {
		if 'a' <= letter && letter <= 'z' {
			text[i] = letter - 'a' + 'A'
		}
	}
	if err == nil {
		_, err = os.Stdout.Write(text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
