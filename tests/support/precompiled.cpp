// tests/support: a source file of its own, so that the precompiled header is built once for all test executables
// SPDX-License-Identifier: Apache-2.0
