"""Fault tests stand on the fixtures of the flow tests."""
import importlib.util
import pathlib

_spec = importlib.util.spec_from_file_location("flow_conftest", pathlib.Path(__file__).parents[1] / "flow" / "conftest.py")
_flow = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_flow)
mock, refusing_port, make_site, make_gw = _flow.mock, _flow.refusing_port, _flow.make_site, _flow.make_gw
pytest_runtest_makereport = _flow.pytest_runtest_makereport
no_secret_stands_anywhere = _flow.no_secret_stands_anywhere
