# The twins of the C functions: the same signatures, so they are declared once.
from gilx.ckernels import Counter as Counter
from gilx.ckernels import histogram_gil as histogram_gil
from gilx.ckernels import histogram_nogil as histogram_nogil
from gilx.ckernels import levenshtein_gil as levenshtein_gil
from gilx.ckernels import levenshtein_nogil as levenshtein_nogil
from gilx.ckernels import mandelbrot_gil as mandelbrot_gil
from gilx.ckernels import mandelbrot_nogil as mandelbrot_nogil
