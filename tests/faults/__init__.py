# SPDX-License-Identifier: Apache-2.0
"""Faults on purpose: kills, dying backends, lost answers, stopped sinks. Each run compares what
was produced with what arrived."""
