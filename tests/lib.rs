//! Black-box tests of the `lictor` binary; the tests themselves are the targets beside this file.
