"""``python -m benchmarks [ROW …] [--json DIR]``: run the rows of the benchmark table, all by default."""

import argparse
import importlib
import json
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).parent
# The rows import each other and the harness by their plain names.
sys.path.insert(0, str(HERE))

from harness import as_json, environment, measure, table  # noqa: E402


def main() -> int:
    files = {int(path.stem[1:3]): path for path in sorted(HERE.glob("b[0-9][0-9]_*.py"))}
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition(": ")[2])
    parser.add_argument("rows", metavar="ROW", nargs="*", type=int, help=f"of {', '.join(map(str, files))}")
    parser.add_argument("--json", metavar="DIR", type=Path, default=HERE / "results", help="where results go")
    arguments = parser.parse_args()
    unknown = [number for number in arguments.rows if number not in files]
    if unknown:
        parser.error(f"no row {unknown[0]}: there are {', '.join(map(str, files))}")

    where = environment()
    print(json.dumps(where, indent=2), flush=True)
    if where["load_before"] is not None and where["load_before"] > where["cores"] / 2:
        # Two threads that take turns on one core wait for each other in every operation: times go up tenfold.
        print("The machine is busy. Don't trust these times: run again when it's quiet.", file=sys.stderr)
    arguments.json.mkdir(parents=True, exist_ok=True)
    failed = []
    for number in arguments.rows or files:
        path = files[number]
        try:
            results = run(path.stem)
        except Exception:
            # The other rows are still worth knowing.
            traceback.print_exc()
            failed.append(number)
            continue
        text = json.dumps({"environment": where, "results": results}, indent=2, ensure_ascii=False)
        (arguments.json / f"{path.stem[1:]}.json").write_text(text + "\n", encoding="utf-8")
    if failed:
        print(f"\nfailed: row {', '.join(map(str, failed))}", file=sys.stderr)
    return 1 if failed else 0


def run(name: str) -> list[dict]:
    """Measure and print what one file defines."""
    module = importlib.import_module(name)
    results = []
    for row in module.rows() if hasattr(module, "rows") else [module.row()]:
        timings = measure(row)
        print(f"\n{table(row, timings)}", flush=True)
        results.append(as_json(row, timings))
    return results


if __name__ == "__main__":
    sys.exit(main())
