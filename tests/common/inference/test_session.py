import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


def test_onnx_runtime_reports_to_nobody(tmp_path: Path):
    """It would keep an id of the machine, and what it has not sent yet, at home and among the temporary files."""
    code = (
        "from pathlib import Path; from common.inference.session import create_session; "
        "create_session(Path('data/weights/vinted/model.onnx'))"
    )
    unset = {"ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=environment, check=True, timeout=60)
    assert [*tmp_path.iterdir()] == []
