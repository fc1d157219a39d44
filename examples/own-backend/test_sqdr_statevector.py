"""The conformance kit says whether the backend is right."""

import sqdr


def test_conformance() -> None:
    sqdr.testing.check_backend("statevector")
