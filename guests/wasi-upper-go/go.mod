module wasi-upper-go

go 1.21
