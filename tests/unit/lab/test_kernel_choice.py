"""Choice of a kernel package by the beginning of its version."""

from __future__ import annotations

from tests.vm.lab.images.kernel_choice import candidates, matches


def test_version_matches_releases_that_begin_with_it() -> None:
    assert matches("7.3-cloud-amd64", "7.3")
    assert matches("7.3.4+deb13-cloud-amd64", "7.3")
    assert matches("7.2.13+deb14-cloud-amd64", "7.2.13+deb14-cloud-amd64")
    assert matches("7.2.13+deb14-cloud-amd64", "")
    assert not matches("7.30-cloud-amd64", "7.3")
    assert not matches("6.12.1-cloud-amd64", "7")


def test_candidates_have_headers_and_begin_with_the_newest() -> None:
    packages = [
        *("linux-image-7.3-cloud-amd64", "linux-headers-7.3-cloud-amd64"),
        *("linux-image-7.3.9-cloud-amd64", "linux-headers-7.3.9-cloud-amd64"),
        *("linux-image-7.3.10-cloud-amd64", "linux-headers-7.3.10-cloud-amd64"),
        *("linux-image-7.3.11-cloud-amd64", "linux-image-7.3.11-cloud-amd64-dbg"),
        *("linux-image-7.3.12-rt-amd64", "linux-headers-7.3.12-rt-amd64"),
        *("linux-image-cloud-amd64", "linux-headers-cloud-amd64"),
    ]

    assert candidates(packages, "7.3") == [
        "7.3.10-cloud-amd64",
        "7.3.9-cloud-amd64",
        "7.3-cloud-amd64",
    ]
    assert candidates(packages, "7.4") == []
