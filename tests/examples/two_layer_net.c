/* The two-layer net and its backward pass in float32 and column-major order, as Fortran, Julia and
   many Rust libraries hold matrices. It writes what `gradient-oracle check` reads, without a library.

   cc -O2 -o two_layer_net two_layer_net.c -lm && ./two_layer_net
   gradient-oracle check two-layer-net --parameters p.safetensors --inputs x.safetensors \
       --targets t.safetensors --gradient g.safetensors */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { N = 6, D = 5, H = 4, K = 3 };

/* Entry (row, column) of a matrix with that many rows. */
#define AT(matrix, rows, row, column) (matrix)[(column) * (rows) + (row)]

static float W1[D * H], b1[H], W2[H * K], b2[K], x[N * D];
static float dW1[D * H], db1[H], dW2[H * K], db2[K];
static int32_t t[N];

static void fill(float *values, int count, float phase) {
  for (int i = 0; i < count; i++) values[i] = sinf(phase + 1.7f * i);
}

static void backward(float divisor) {
  static float z[N * H], dy[N * K];
  for (int n = 0; n < N; n++) {
    float y[K], total = 0;
    for (int h = 0; h < H; h++) {
      float a = b1[h];
      for (int d = 0; d < D; d++) a += AT(x, N, n, d) * AT(W1, D, d, h);
      AT(z, N, n, h) = 1 / (1 + expf(-a));
    }
    for (int k = 0; k < K; k++) {
      float a = b2[k];
      for (int h = 0; h < H; h++) a += AT(z, N, n, h) * AT(W2, H, h, k);
      total += y[k] = expf(a);
    }
    for (int k = 0; k < K; k++) AT(dy, N, n, k) = (y[k] / total - (t[n] == k)) / divisor;
  }
  for (int n = 0; n < N; n++) {
    for (int h = 0; h < H; h++) {
      float back = 0;
      for (int k = 0; k < K; k++) {
        back += AT(dy, N, n, k) * AT(W2, H, h, k);
        AT(dW2, H, h, k) += AT(z, N, n, h) * AT(dy, N, n, k);
      }
      float da = back * AT(z, N, n, h) * (1 - AT(z, N, n, h));
      for (int d = 0; d < D; d++) AT(dW1, D, d, h) += AT(x, N, n, d) * da;
      db1[h] += da;
    }
    for (int k = 0; k < K; k++) db2[k] += AT(dy, N, n, k);
  }
}

/* One tensor of a .safetensors file. A column-major matrix is stated turned over: columns first. */
typedef struct { const char *name, *type; int columns, rows; const void *data; } Tensor;

static void write_file(const char *path, const Tensor *tensors, int count) {
  char header[1024] = "{";
  uint64_t size = 1;
  for (int i = 0, offset = 0; i < count; i++) {
    const Tensor *a = &tensors[i];
    int end = offset + 4 * a->columns * a->rows;
    size += sprintf(header + size, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%d,%d],", i ? "," : "",
                    a->name, a->type, a->columns, a->rows);
    size += sprintf(header + size, "\"data_offsets\":[%d,%d]}", offset, end);
    offset = end;
  }
  size += sprintf(header + size, "}");
  FILE *file = fopen(path, "wb");
  fwrite(&size, 8, 1, file); /* little-endian, as the data are */
  fwrite(header, 1, size, file);
  for (int i = 0; i < count; i++)
    fwrite(tensors[i].data, 4, tensors[i].columns * tensors[i].rows, file);
  fclose(file);
}

int main(int count, char **arguments) {
  fill(W1, D * H, 0.1f), fill(b1, H, 0.2f), fill(W2, H * K, 0.3f), fill(b2, K, 0.4f);
  fill(x, N * D, 0.5f);
  for (int n = 0; n < N; n++) t[n] = n % K;
  backward(count > 1 && strcmp(arguments[1], "wrong") == 0 ? 1 : N);
  const Tensor parameters[] = {
      {"W1", "F32", H, D, W1}, {"b1", "F32", 1, H, b1}, {"W2", "F32", K, H, W2}, {"b2", "F32", 1, K, b2}};
  const Tensor gradient[] = {
      {"W1", "F32", H, D, dW1}, {"b1", "F32", 1, H, db1}, {"W2", "F32", K, H, dW2}, {"b2", "F32", 1, K, db2}};
  const Tensor inputs = {"x", "F32", D, N, x}, targets = {"t", "I32", 1, N, t};
  write_file("p.safetensors", parameters, 4);
  write_file("g.safetensors", gradient, 4);
  write_file("x.safetensors", &inputs, 1);
  write_file("t.safetensors", &targets, 1);
  return 0;
}
