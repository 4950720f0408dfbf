"""Fourier transforms: lengths, axes and norms."""

import pytest
import torch

from tests.ops.tables import check_both, check_table

torch.manual_seed(0)
X = torch.randn(2, 6, 8)
Z = torch.randn(2, 6, 8, dtype=torch.complex64)
SIGNAL = torch.randn(2, 200)


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_one_axis(name):
    f, op = getattr(torch.fft, name), f"aten.fft_{name}.default"
    x = X if name in ("rfft", "ihfft") else Z
    check_table(
        [
            (op, f, [x]),
            (op, lambda x: f(x, n=5), [x]),
            (op, lambda x: f(x, n=11, dim=1), [x]),
            (op, lambda x: f(x, dim=0, norm="ortho"), [x]),
            (op, lambda x: f(x, norm="forward"), [x]),
        ]
    )


@pytest.mark.parametrize("name", ["fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn"])
def test_several_axes(name):
    f, op = getattr(torch.fft, name), f"aten.fft_{name}.default"
    x = X if "rfft" in name and "irfft" not in name else Z
    check_table(
        [
            (op, f, [x]),
            (op, lambda x: f(x, norm="ortho"), [x]),
            (op, lambda x: f(x, dim=(0, 1)), [x]),
            (op, lambda x: f(x, s=(4, 9), dim=(1, 2)), [x]),
        ]
    )


def test_shifts_and_frequencies():
    check_table(
        [
            ("aten.fft_fftshift.default", torch.fft.fftshift, [X]),
            ("aten.fft_fftshift.default", lambda x: torch.fft.fftshift(x, dim=(1,)), [X]),
            ("aten.fft_ifftshift.default", lambda x: torch.fft.ifftshift(x, dim=(0, -1)), [X]),
            ("aten.fft_fftfreq.default", lambda x: torch.fft.fftfreq(9), [X]),
            ("aten.fft_rfftfreq.default", lambda x: torch.fft.rfftfreq(8, d=0.5), [X]),
        ]
    )


def test_short_time():
    window = torch.hann_window(16)
    op = "aten.stft.default"
    both = lambda x, w, **options: torch.istft(
        torch.stft(x, 16, 4, window=w, return_complex=True), 16, 4, window=w, **options
    )
    check_both(
        [
            (op, lambda x, w: torch.stft(x, 16, window=w, return_complex=True), [SIGNAL, window]),
            (op, lambda x, w: torch.stft(x, 24, 5, 16, w, center=False, return_complex=True), [SIGNAL, window]),
            (op, lambda x, w: torch.stft(x, 16, 4, window=w, normalized=True, return_complex=True), [SIGNAL[0], window]),
            ("aten.istft.default", both, [SIGNAL, window]),
            ("aten.istft.default", lambda x, w: both(x, w, length=190), [SIGNAL, window]),
            ("aten.istft.default", lambda x, w: both(x, w, length=210), [SIGNAL, window]),
        ]
    )  # fmt: skip
    check_table(
        [(op, lambda x: torch.stft(x, 16, onesided=False, return_complex=True, window=torch.ones(16)), [SIGNAL])]
    )


def test_short_time_of_complex_signals():
    """A complex signal, or a complex window, has a spectrum with two sides."""
    window, signal = torch.hann_window(16), torch.complex(SIGNAL, SIGNAL.flip(-1))
    complex_window = torch.complex(window, window / 3)
    spectrum = torch.stft(signal, 16, 4, window=window, return_complex=True)
    stft, istft = "aten.stft.default", "aten.istft.default"
    check_table(
        [
            (stft, lambda x, w: torch.stft(x, 16, 4, window=w, return_complex=True), [signal, window]),
            (stft, lambda x, w: torch.stft(x, 16, 4, window=w, return_complex=False), [signal, window]),
            (stft, lambda x, w: torch.stft(x, 16, 4, window=w, return_complex=True), [SIGNAL, complex_window]),
            (istft, lambda x, w: torch.istft(x, 16, 4, window=w, onesided=False), [spectrum, window]),
            (istft, lambda x, w: torch.istft(x, 16, 4, window=w, return_complex=True), [spectrum, window]),
            (istft, lambda x, w: torch.istft(x, 16, 4, window=w, return_complex=True), [spectrum, complex_window]),
        ]
    )
