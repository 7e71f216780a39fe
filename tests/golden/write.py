"""Write the golden values (`results.json`) of everything that has none for its version.

python tests/golden/write.py                   write; where a result differs under its version, say so, and exit with 1
python tests/golden/write.py --inputs-changed  write these too: it is what the makers here try that has changed, and no result

Results that differ need a new `version` first: what stands in users' folders was made by the code of the old one. Some are tried
with others, as an ensemble is with its members: where only a member has changed, its version alone is raised, and the ensemble's
inputs have changed.
"""

import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import golden
import torch
from makers import MAKERS, versions


def main() -> None:
    """Make all results, and keep them."""
    warnings.simplefilter("ignore")  # libraries' own, which the tests tell apart
    torch.set_num_threads(1)
    before, now, refused = golden.read(), {}, []
    for label, make in MAKERS.items():
        with TemporaryDirectory() as folder:
            results = golden.plain(make(Path(folder)))
        old = before.get(label)
        now[label] = {"version": versions().get(label), "results": results}
        if old is None or old["version"] != now[label]["version"]:
            continue
        if not (found := list(golden.differences(old["results"], results))):
            now[label] = old
        elif "--inputs-changed" not in sys.argv:
            refused.append(golden.described(label, old["version"], found))
    if refused:
        sys.exit("\n".join(refused))
    golden.write(now)
    print(f"{golden.FILE.name}: {sum(before.get(label) != one for label, one in now.items())} of {len(now)} written")


if __name__ == "__main__":
    main()
