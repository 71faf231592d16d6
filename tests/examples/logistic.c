/* The loss of a logistic regression and its gradient, under check from C without a library.

   cc -O2 -o logistic logistic.c -lm && gradient-oracle check-function -- ./logistic */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 4, WEIGHTS = 3 };

static const double inputs[SAMPLES][WEIGHTS] = {
    {1, 0.5, -1.2}, {1, -0.3, 0.8}, {1, 2.0, 0.1}, {1, -1.5, -0.7}};
static const double labels[SAMPLES] = {1, 0, 1, 0};

static double score(const double *w, int n) {
  double sum = 0;
  for (int i = 0; i < WEIGHTS; i++) sum += w[i] * inputs[n][i];
  return sum;
}

static double loss(const double *w) {
  double sum = 0;
  for (int n = 0; n < SAMPLES; n++) {
    double s = score(w, n);
    sum += log1p(exp(-fabs(s))) + fmax(s, 0) - labels[n] * s;
  }
  return sum / SAMPLES;
}

static void gradient(const double *w, double *g) {
  for (int i = 0; i < WEIGHTS; i++) g[i] = 0;
  for (int n = 0; n < SAMPLES; n++) {
    double error = 1 / (1 + exp(-score(w, n))) - labels[n];
    for (int i = 0; i < WEIGHTS; i++) g[i] += error * inputs[n][i] / SAMPLES;
  }
}

static void print_array(const char *name, const double *a) {
  printf("\"%s\": [", name);
  for (int i = 0; i < WEIGHTS; i++) printf("%s%.17g", i ? ", " : "", a[i]);
  printf("]");
}

int main(int count, char **arguments) {
  double w[WEIGHTS] = {0.25, -0.5, 0.75}, g[WEIGHTS];
  gradient(w, g);
  if (count > 1 && strcmp(arguments[1], "wrong") == 0) g[1] = -g[1];
  printf("{\"name\": \"logistic loss\", ");
  print_array("x", w);
  printf(", ");
  print_array("gradient", g);
  printf("}\n");
  fflush(stdout);

  static char line[4096];
  while (fgets(line, sizeof line, stdin)) {
    char *rest = line;
    for (int i = 0; i < WEIGHTS; i++) w[i] = strtod(rest + strspn(rest, "[, "), &rest);
    printf("%.17g\n", loss(w));
    fflush(stdout);
  }
  return 0;
}
