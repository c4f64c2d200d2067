# SPDX-License-Identifier: Apache-2.0
"""Real servers for tests and benches: each on a free loopback port, stopped by its pid."""
