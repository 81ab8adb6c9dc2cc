"""The errors a user may meet; the command line prints each as one line."""


class NeurolatentError(Exception):
    """Base of every error whose message is meant for the user: what was expected, what came, what to do."""


class ScanError(NeurolatentError):
    """An image that cannot be used."""


class TableError(NeurolatentError):
    """A table, or a row of one, that cannot be used."""


class CohortError(NeurolatentError):
    """A cohort descriptor, source folder or split that cannot be used."""


class WeightsError(NeurolatentError):
    """Weights that are missing, damaged, or do not fit the model or the data."""


class LeakageError(NeurolatentError):
    """An analysis whose test subjects a supervised stage has seen."""


class SettingsError(NeurolatentError):
    """Options that contradict each other or what is on disk."""


class NotApplicableError(NeurolatentError):
    """An analysis that this cohort cannot answer, such as a diagnosis that nobody has."""
