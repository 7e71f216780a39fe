import pytest
from aya_translate import Translate

from aya_core.testing import check_stage


@pytest.mark.parametrize("samples", [1, 2])
def test_it_keeps_the_rules_of_stages(tmp_path, samples):
    settings = {
        "prompts": {"use": "sample-rows"},
        "teacher": {"use": "echo"},
        "into": ["de", "fr"],
        "sampling": {"n": samples},
    }
    check_stage(Translate, settings, tmp_path)
