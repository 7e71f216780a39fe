"""All that a plugin author imports.

    from aya_core.api import ArbiterStrategy, Case, Verdict, hookimpl

`docs/write-a-plugin.md` walks through a first plugin; `aya_core.testing` checks that it behaves.
"""

from pydantic import Field as Field

from aya_core import __version__ as __version__
from aya_core.cli.arguments import (
    changed_code_options as changed_code_options,
    find_recipe as find_recipe,
    override_option as override_option,
)
from aya_core.cli.run_plan import run_plan as run_plan
from aya_core.cli.spec import (
    read_strategy as read_strategy,
    read_trackers as read_trackers,
    track_option as track_option,
)
from aya_core.cli.tables import print_whole as print_whole
from aya_core.cli.terminal import TextConsole as TextConsole, say as say
from aya_core.contract.artifacts import (
    MANIFEST as MANIFEST,
    PAYLOAD as PAYLOAD,
    ROW_GROUP as ROW_GROUP,
    Artifact as Artifact,
    RowsWriter as RowsWriter,
    content_of as content_of,
    count_rows as count_rows,
    read_batches as read_batches,
    read_rows as read_rows,
    stable_hash as stable_hash,
    write_rows as write_rows,
)
from aya_core.contract.checked import checked_answers as checked_answers, checked_verdicts as checked_verdicts
from aya_core.contract.commands import Command as Command
from aya_core.contract.compressed import (
    COMPRESSED as COMPRESSED,
    check_fetched as check_fetched,
    ending_of as ending_of,
    opened as opened,
    opened_text as opened_text,
    stem_of as stem_of,
)
from aya_core.contract.durable import (
    flush as flush,
    make_folder as make_folder,
    make_output_folder as make_output_folder,
    read_sealed as read_sealed,
    rename as rename,
    set_aside as set_aside,
    write_file as write_file,
    write_sealed as write_sealed,
    writing_file as writing_file,
)
from aya_core.contract.errors import (
    STOPPED as STOPPED,
    ArtifactError as ArtifactError,
    AyaError as AyaError,
    DamageError as DamageError,
    DataError as DataError,
    PluginError as PluginError,
    RecipeError as RecipeError,
    StoppedError as StoppedError,
    did_you_mean as did_you_mean,
)
from aya_core.contract.explain import SettingsError as SettingsError
from aya_core.contract.hashes import file_hash as file_hash, named_by_hash as named_by_hash
from aya_core.contract.id_set import IdSet as IdSet, temporary_database as temporary_database
from aya_core.contract.journal import Journal as Journal
from aya_core.contract.json_text import is_number as is_number, parse_json as parse_json
from aya_core.contract.kinds import (
    AccountingDataset as AccountingDataset,
    AnyObjective as AnyObjective,
    Arbiter as Arbiter,
    ArbiterStrategy as ArbiterStrategy,
    AskingEvaluator as AskingEvaluator,
    CalibratedArbiter as CalibratedArbiter,
    ContinuationTeacher as ContinuationTeacher,
    Dataset as Dataset,
    DatasetStrategy as DatasetStrategy,
    EvaluatedModel as EvaluatedModel,
    Evaluator as Evaluator,
    EvaluatorStrategy as EvaluatorStrategy,
    GroupLogps as GroupLogps,
    GroupLoss as GroupLoss,
    GroupObjective as GroupObjective,
    InspectableTrainer as InspectableTrainer,
    KeepingArbiter as KeepingArbiter,
    LikelihoodTeacher as LikelihoodTeacher,
    Objective as Objective,
    ObjectiveStrategy as ObjectiveStrategy,
    PairLogps as PairLogps,
    PairLoss as PairLoss,
    Pool as Pool,
    Price as Price,
    ReplyStore as ReplyStore,
    Router as Router,
    RouterStrategy as RouterStrategy,
    SingleLogps as SingleLogps,
    SingleLoss as SingleLoss,
    SingleObjective as SingleObjective,
    Teacher as Teacher,
    TeacherStrategy as TeacherStrategy,
    TokenInfo as TokenInfo,
    TokenizedRow as TokenizedRow,
    TrackedRun as TrackedRun,
    Tracker as Tracker,
    TrackerStrategy as TrackerStrategy,
    Trainer as Trainer,
    TrainerStrategy as TrainerStrategy,
    TrainingJob as TrainingJob,
)
from aya_core.contract.languages import (
    check_language as check_language,
    counts_as as counts_as,
    find_language as find_language,
    is_edition as is_edition,
    language_name as language_name,
    plain_language as plain_language,
)
from aya_core.contract.lines import (
    READERS as READERS,
    Line as Line,
    arrow_lines as arrow_lines,
    csv_lines as csv_lines,
    json_array as json_array,
    json_lines as json_lines,
    parquet_lines as parquet_lines,
)
from aya_core.contract.locks import locked as locked
from aya_core.contract.merge_parameters import MergeParameter as MergeParameter, Rule as Rule
from aya_core.contract.merges import (
    AnyMerge as AnyMerge,
    CheckingEngine as CheckingEngine,
    CheckpointMerge as CheckpointMerge,
    ExtractingEngine as ExtractingEngine,
    ForeseeingEngine as ForeseeingEngine,
    LayerSlice as LayerSlice,
    LoraJob as LoraJob,
    MakeOptimizer as MakeOptimizer,
    MergeEngine as MergeEngine,
    MergeInput as MergeInput,
    MergeJob as MergeJob,
    MergeStrategy as MergeStrategy,
    Optimizer as Optimizer,
    Piece as Piece,
    PieceMerge as PieceMerge,
    Pieces as Pieces,
    Place as Place,
    Resources as Resources,
    TensorMerge as TensorMerge,
    TokenRow as TokenRow,
    TokenSettings as TokenSettings,
    Vocabulary as Vocabulary,
    WholeModelMerge as WholeModelMerge,
)
from aya_core.contract.metrics import (
    COUNTED as COUNTED,
    FAULTS as FAULTS,
    SHARE as SHARE,
    Better as Better,
    Metric as Metric,
    check_metric as check_metric,
    main_metric as main_metric,
    metric_named as metric_named,
)
from aya_core.contract.processes import (
    Lines as Lines,
    end_with_parent as end_with_parent,
    how_it_ended as how_it_ended,
)
from aya_core.contract.reasons import Reasons as Reasons
from aya_core.contract.records import (
    CUT as CUT,
    LANGUAGES as LANGUAGES,
    NO_MORE as NO_MORE,
    UNKNOWN_LANGUAGE as UNKNOWN_LANGUAGE,
    Case as Case,
    Columns as Columns,
    Completion as Completion,
    CorpusScore as CorpusScore,
    Demonstration as Demonstration,
    ExampleRow as ExampleRow,
    Judged as Judged,
    Message as Message,
    Preference as Preference,
    Prompt as Prompt,
    RowScore as RowScore,
    Unanswered as Unanswered,
    Verdict as Verdict,
    assistant_turn as assistant_turn,
    user_prompt as user_prompt,
)
from aya_core.contract.reports import (
    Alert as Alert,
    Block as Block,
    Level as Level,
    Picture as Picture,
    Reporter as Reporter,
    RunReport as RunReport,
    Section as Section,
    Table as Table,
    Text as Text,
)
from aya_core.contract.requests import (
    Context as Context,
    Continuation as Continuation,
    GenerationRequest as GenerationRequest,
    LogLikelihood as LogLikelihood,
    Replies as Replies,
    Request as Request,
    Sampling as Sampling,
    Scored as Scored,
    ScoringRequest as ScoringRequest,
)
from aya_core.contract.saved_folders import is_saved as is_saved, saved_lines as saved_lines, splits_of as splits_of
from aya_core.contract.stage import Action as Action, Language as Language, Name as Name, Stage as Stage
from aya_core.contract.strategies import (
    EACH as EACH,
    LocalFile as LocalFile,
    ModelRef as ModelRef,
    Reference as Reference,
    RowsRef as RowsRef,
    Settings as Settings,
    Strategy as Strategy,
    find as find,
    nested as nested,
    nested_for_each_model as nested_for_each_model,
    nested_or_several as nested_or_several,
    reference_or_nested as reference_or_nested,
    short_schema as short_schema,
    strategies_with_paths as strategies_with_paths,
)
from aya_core.contract.surroundings import Surroundings as Surroundings
from aya_core.contract.texts import normalize as normalize, says_the_same as says_the_same
from aya_core.contract.trouble import os_sentence as os_sentence
from aya_core.contract.visible import visible as visible
from aya_core.hookspecs import hookimpl as hookimpl
from aya_core.planning import yaml12 as yaml12
from aya_core.planning.hub import cached_commit as cached_commit, hub_model as hub_model, model_folder as model_folder
from aya_core.planning.plan import (
    ROWS_KINDS as ROWS_KINDS,
    Builder as Builder,
    Node as Node,
    Plan as Plan,
    fill_paths as fill_paths,
    make_plan as make_plan,
)
from aya_core.planning.reading import (
    ROW_RECORDS as ROW_RECORDS,
    language_sentences as language_sentences,
    prompt_of as prompt_of,
    read_data as read_data,
)
from aya_core.planning.recipe import LoadedRecipe as LoadedRecipe, validate_recipe as validate_recipe
from aya_core.planning.registry import Registry as Registry
from aya_core.running.asking.asked import (
    MEASURE as MEASURE,
    Asked as Asked,
    case_key as case_key,
    prompt_key as prompt_key,
    text_key as text_key,
)
from aya_core.running.asking.left_out import LeftOut as LeftOut, unanswered_because as unanswered_because
from aya_core.running.asking.replies import StepReplies as StepReplies
from aya_core.running.asking.reuse import SealedShards as SealedShards
from aya_core.running.asking.shards import (
    Asking as Asking,
    Filled as Filled,
    chunked as chunked,
    damaged as damaged,
    fill_shards as fill_shards,
    kept as kept,
)
from aya_core.running.asking.teachers import (
    Lookahead as Lookahead,
    answers_to as answers_to,
    ask_teacher as ask_teacher,
    chunk_size as chunk_size,
)
from aya_core.running.inventory import Inventory as Inventory
from aya_core.running.record import (
    RecordedStep as RecordedStep,
    RunRecord as RunRecord,
    StageRecord as StageRecord,
    file_name as file_name,
)
from aya_core.running.run_folder import Run as Run
from aya_core.running.runner import Runner as Runner, check_imports as check_imports
from aya_core.running.work import LOG as LOG, Report as Report, Work as Work
