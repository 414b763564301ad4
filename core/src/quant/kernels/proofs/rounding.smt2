; The rounding and saturating functions of `rounding.rs` and `norm/` in bit vectors (SMT-LIB 2),
; and what is claimed of them. `proofs.rs` has a solver look for a counterexample to each claim, and
; compares the definitions with the Rust functions of the same names on random arguments.
;
; A product of two variables is out of a solver's reach. The claims are about any number in the
; product's place, within its bounds: that is more than is needed. Where a product is put together
; from those of halves, `a = 2^16 a_high + a_low`, the claims are about any four numbers in their
; places, and
;     a b = 2^32 a_high b_high + 2^16 (a_high b_low + a_low b_high) + a_low b_low.
; Shifts have the width of what is shifted.
(set-logic QF_BV)
(define-sort I16 () (_ BitVec 16))
(define-sort I32 () (_ BitVec 32))
(define-sort I64 () (_ BitVec 64))
(define-sort I128 () (_ BitVec 128))

(define-fun i64 ((x I32)) I64 ((_ sign_extend 32) x))
(define-fun u64 ((x I32)) I64 ((_ zero_extend 32) x))
(define-fun i128 ((x I64)) I128 ((_ sign_extend 64) x))
(define-fun low ((x I64)) I32 ((_ extract 31 0) x))
(define-fun high ((x I64)) I32 ((_ extract 63 32) x))
(define-fun one_64 () I64 (_ bv1 64))
(define-fun one_128 () I128 (_ bv1 128))
(define-fun half_32 ((s I32)) I32 (bvlshr (bvshl (_ bv1 32) s) (_ bv1 32)))
(define-fun half_64 ((s I64)) I64 (bvlshr (bvshl one_64 s) one_64))
(define-fun half_128 ((s I128)) I128 (bvlshr (bvshl one_128 s) one_128))
(define-fun up_to_64 ((x I64) (most I64)) Bool (and (bvsle x most) (bvsle (bvneg most) x)))
(define-fun up_to_32 ((x I32) (most I32)) Bool (and (bvsle x most) (bvsle (bvneg most) x)))

; ------------------------------------------------------------------ definitions, as in the code

(define-fun rounding_shift_right ((value I64) (shift I64)) I64
  (bvashr (bvadd value (half_64 shift)) shift))

(define-fun rounding_shift_right_i32 ((value I32) (shift I32)) I32
  (bvashr (bvadd value (half_32 shift)) shift))

(define-fun clamp_64 ((x I64) (least I64) (most I64)) I64
  (ite (bvslt x least) least (ite (bvsgt x most) most x)))
(define-fun saturate_i16 ((x I64)) I16
  ((_ extract 15 0) (clamp_64 x #xffffffffffff8000 #x0000000000007fff)))
(define-fun saturate_i32 ((x I64)) I32 (low (clamp_64 x #xffffffff80000000 #x000000007fffffff)))
(define-fun clamp_to_i16 ((x I32)) I16 (saturate_i16 (i64 x)))

; `multiply_shift` with the product of `a` and `b`.
(define-fun shift_product ((product I64) (shift I64)) I32
  (ite (bvugt shift (_ bv32 64))
    (rounding_shift_right_i32 (high product) (low (bvsub shift (_ bv32 64))))
    (saturate_i32 (rounding_shift_right product shift))))
(define-fun multiply_shift ((a I32) (b I32) (shift I64)) I32
  (shift_product (bvmul (i64 a) (i64 b)) shift))

; `multiply_shift_wide` with the products of `b` and the upper and lower part of `a`.
(define-fun shift_wide_product ((upper I64) (lower I64) (shift I64)) I32
  (saturate_i32 (bvashr
    (bvadd upper (bvashr (bvadd lower (half_64 shift)) (_ bv16 64)))
    (bvsub shift (_ bv16 64)))))
(define-fun multiply_shift_wide ((a I64) (b I32) (shift I64)) I32
  (shift_wide_product
    (bvmul (i64 (low (bvashr a (_ bv16 64)))) (i64 b))
    (bvmul (bvand a #x000000000000ffff) (i64 b))
    shift))

(define-fun saturating_add ((a I32) (b I32)) I32 (saturate_i32 (bvadd (i64 a) (i64 b))))
(define-fun round_to_i16 ((value I32) (shift I32)) I16
  (clamp_to_i16 (bvashr (saturating_add value (half_32 shift)) shift)))

; Products of halves: `hh` of both upper ones, `hl` of `a`'s upper and `b`'s lower one, and so on.
(define-fun low_16 ((x I32)) I32 (bvand x #x0000ffff))
(define-fun shr_16 ((x I32)) I32 (bvlshr x (_ bv16 32)))
(define-fun sar_16 ((x I32)) I32 (bvashr x (_ bv16 32)))
(define-fun shl_16 ((x I32)) I32 (bvshl x (_ bv16 32)))
(define-fun middle_u ((hl I32) (ll I32)) I32 (bvadd hl (shr_16 ll)))
(define-fun other_middle_u ((lh I32) (middle I32)) I32 (bvadd lh (low_16 middle)))
(define-fun join_halves ((hh I32) (hl I32) (lh I32) (ll I32)) I64
  (let ((middle (middle_u hl ll)))
    (let ((other (other_middle_u lh middle)))
      (concat
        (bvadd hh (bvadd (shr_16 middle) (shr_16 other)))
        (bvor (shl_16 other) (low_16 ll))))))
(define-fun product_by_halves ((a I32) (b I32)) I64
  (join_halves
    (bvmul (shr_16 a) (shr_16 b)) (bvmul (shr_16 a) (low_16 b))
    (bvmul (low_16 a) (shr_16 b)) (bvmul (low_16 a) (low_16 b))))

(define-fun upper_of_product ((product I64) (is_rounded I32)) I32
  (high (bvadd product (bvshl (u64 is_rounded) (_ bv31 64)))))
(define-fun upper_word ((a I32) (b I32) (is_rounded I32)) I32
  (upper_of_product (bvmul (i64 a) (i64 b)) is_rounded))

(define-fun join_upper ((hh I32) (hl I32) (lh I32) (ll I32) (is_rounded I32)) I32
  (let ((middle (bvadd hl (shr_16 ll))))
    (let ((other (bvadd lh (low_16 middle))))
      (bvadd hh (bvadd (sar_16 middle)
        (bvashr (bvadd (bvashr other (_ bv15 32)) is_rounded) (_ bv1 32)))))))
(define-fun upper_word_by_halves ((a I32) (b I32) (is_rounded I32)) I32
  (join_upper
    (bvmul (sar_16 a) (sar_16 b)) (bvmul (sar_16 a) (low_16 b))
    (bvmul (low_16 a) (sar_16 b)) (bvmul (low_16 a) (low_16 b))
    is_rounded))

; The gain of `gain_and_beta` and of `gain_and_beta_by_halves`.
(define-fun gain_of_product ((product I64)) I32 (low (rounding_shift_right product (_ bv15 64))))
(define-fun gain ((gamma I32) (mantissa I32)) I32
  (gain_of_product (bvmul (i64 gamma) (i64 mantissa))))
(define-fun join_gain ((upper I32) (lower I32)) I32
  (bvadd (bvshl upper (_ bv1 32)) (bvashr (bvadd lower (_ bv16384 32)) (_ bv15 32))))
(define-fun gain_by_halves ((gamma I32) (mantissa I32)) I32
  (join_gain (bvmul gamma (sar_16 mantissa)) (bvmul gamma (low_16 mantissa))))

; Epilogues: the reference in 64 bits, and the kernels in 32, with `scaled = scale y`.
(define-fun modulate_reference ((scaled I64) (bias I32) (shift I64)) I16
  (saturate_i16 (rounding_shift_right (bvadd scaled (bvshl (i64 bias) (_ bv16 64))) shift)))
(define-fun modulate_kernel ((scaled I64) (bias I32) (shift I64)) I16
  (let ((is_up (bvult shift (_ bv16 64))))
    (let ((up (ite is_up (bvsub (_ bv17 64) shift) (_ bv0 64)))
          (by (ite is_up (_ bv1 32) (low (bvsub shift (_ bv16 64))))))
      ; `upper_word(scale << 15, y << (1 + up), by == 0)`; the bias includes `2^up` and the half to
      ; round by.
      (let ((upper (upper_of_product (bvshl scaled (bvadd up (_ bv16 64)))
                     (ite (= by (_ bv0 32)) (_ bv1 32) (_ bv0 32))))
            (whole_bias (bvadd (bvshl bias (low up)) (half_32 by))))
        (clamp_to_i16 (bvashr (bvadd upper whole_bias) by))))))
(define-fun add_reference ((y I32) (old I16) (up I32) (down I32)) I16
  (round_to_i16 (saturating_add y (bvshl ((_ sign_extend 16) old) up)) down))
(define-fun add_kernel ((y I32) (old I16) (up I32) (down I32)) I16
  (clamp_to_i16
    (bvashr (bvadd y (bvadd (bvshl ((_ sign_extend 16) old) up) (half_32 down))) down)))

; The routines of a Cortex-M: the bit that the shift drops last is added by the carry.
(define-fun shift_with_carry ((value I32) (shift I32)) I32
  (bvadd (bvashr value shift)
    (bvand (bvashr value (bvsub shift (_ bv1 32))) (_ bv1 32))))

; ------------------------------------------------------------------ arguments of the claims

(declare-const v I64)
(declare-const w I64)
(declare-const s I64)
(declare-const x I32)
(declare-const y I32)
(declare-const a I32)
(declare-const b I32)
(declare-const c I32)
(declare-const d I32)
(declare-const k I32)
(declare-const r I32)
(declare-const h I16)

; ------------------------------------------------------------------ claims: `unsat` proves each

(echo "rounding_shift_right: nothing overflows, and the result is the nearest, halves upwards")
(push)
(assert (and (bvule s (_ bv62 64)) (up_to_64 v #x4000000000000000)))
(assert (not (let ((result (bvshl (i128 (rounding_shift_right v s)) (i128 s)))
                   (sum (bvadd (i128 v) (half_128 (i128 s)))))
  (and (= sum (i128 (bvadd v (half_64 s))))
       (bvsle result sum)
       (bvslt sum (bvadd result (bvshl one_128 (i128 s))))))))
(check-sat)
(pop)

(echo "rounding_shift_right_i32: the same in 32 bits")
(push)
(assert (and (bvule k (_ bv30 32)) (up_to_32 x #x40000000)))
(assert (not (= (i64 (rounding_shift_right_i32 x k)) (rounding_shift_right (i64 x) (u64 k)))))
(check-sat)
(pop)

(echo "saturate_i16 and saturate_i32: the nearest number that fits")
(push)
(assert (not (and
  (=> (and (bvsle #xffffffffffff8000 v) (bvsle v #x0000000000007fff))
    (= ((_ sign_extend 48) (saturate_i16 v)) v))
  (=> (bvsgt v #x0000000000007fff) (= (saturate_i16 v) #x7fff))
  (=> (bvslt v #xffffffffffff8000) (= (saturate_i16 v) #x8000))
  (=> (and (bvsle #xffffffff80000000 v) (bvsle v #x000000007fffffff)) (= (i64 (saturate_i32 v)) v))
  (=> (bvsgt v #x000000007fffffff) (= (saturate_i32 v) #x7fffffff))
  (=> (bvslt v #xffffffff80000000) (= (saturate_i32 v) #x80000000)))))
(check-sat)
(pop)

(echo "multiply_shift: the upper word rounds as the whole product, which saturates where it must")
(push)
; -2^31 (2^31 - 1) to 2^62.
(assert (and (bvule s (_ bv62 64)) (up_to_64 v #x4000000000000000)))
(assert (not (= (shift_product v s) (saturate_i32 (rounding_shift_right v s)))))
(check-sat)
(pop)

(echo "multiply_shift: a shift above 32 leaves what fits, and the upper word keeps its bounds")
(push)
(assert (and (bvule s (_ bv62 64)) (bvugt s (_ bv32 64)) (up_to_64 v #x4000000000000000)))
(assert (not (and (up_to_32 (high v) #x40000000)
  (= (i64 (shift_product v s)) (rounding_shift_right v s)))))
(check-sat)
(pop)

(echo "multiply_shift_wide: the parts round as the whole product of 66 bits, and nothing overflows")
(push)
; |a / 2^16| <= 2^18, |b| <= 2^31.
(assert (and (bvule (_ bv16 64) s) (bvule s (_ bv62 64))))
(assert (up_to_64 v #x0002000000000000))
(assert (up_to_64 w #x00007fff80000000))
(assert (not (let ((product (bvadd (bvshl (i128 v) (_ bv16 128)) (i128 w))))
  (let ((rounded (bvashr (bvadd product (half_128 (i128 s))) (i128 s)))
        (lower (bvadd w (half_64 s))))
    (and (bvsle #xc000000000000000 lower) (bvsle lower #x6000000000000000)
         (= rounded (i128 ((_ extract 63 0) rounded)))
         (= (shift_wide_product v w s) (saturate_i32 ((_ extract 63 0) rounded))))))))
(check-sat)
(pop)

(echo "round_to_i16: 32 bits suffice, also after a sum that has saturated")
(push)
(assert (bvule k (_ bv16 32)))
(assert (not (= (round_to_i16 (saturating_add x y) k)
  (saturate_i16 (rounding_shift_right (bvadd (i64 x) (i64 y)) (u64 k))))))
(check-sat)
(pop)

(echo "product_by_halves: the four products make the whole one, and no sum overflows")
(push)
(assert (and (bvule a #xfffe0001) (bvule b #xfffe0001) (bvule c #xfffe0001) (bvule d #xfffe0001)))
; a: upper by upper; b: upper by lower; c: lower by upper; d: lower by lower.
(assert (not (let ((middle (middle_u b d)))
  (and
    (= (u64 middle) (bvadd (u64 b) (u64 (shr_16 d))))
    (= (u64 (other_middle_u c middle)) (bvadd (u64 c) (u64 (low_16 middle))))
    (= (join_halves a b c d)
       (bvadd (bvshl (u64 a) (_ bv32 64))
              (bvadd (bvshl (bvadd (u64 b) (u64 c)) (_ bv16 64)) (u64 d))))))))
(check-sat)
(pop)

(echo "upper_word_by_halves: the four products make the upper word, rounded or not")
(push)
; -2^15 and 2^15 - 1 times 2^16 - 1.
(define-fun is_mixed ((z I32)) Bool (and (bvsle #x80008000 z) (bvsle z #x7ffe8001)))
(assert (and (up_to_32 a #x40000000) (is_mixed b) (is_mixed c)))
(assert (and (bvule d #xfffe0001) (bvule r (_ bv1 32))))
(assert (not (let ((middle (bvadd b (shr_16 d))))
  (and
    (= (i64 middle) (bvadd (i64 b) (u64 (shr_16 d))))
    (= (i64 (bvadd c (low_16 middle))) (bvadd (i64 c) (u64 (low_16 middle))))
    (= (join_upper a b c d r)
       (upper_of_product
         (bvadd (bvshl (i64 a) (_ bv32 64))
                (bvadd (bvshl (bvadd (i64 b) (i64 c)) (_ bv16 64)) (u64 d)))
         r))))))
(check-sat)
(pop)

(echo "gain_and_beta: |gamma| below 2^15 times a mantissa below 2^31 fits 32 bits after its shift")
(push)
(assert (up_to_64 v #x00003fff7fff8001))
(assert (not (= (i64 (gain_of_product v)) (rounding_shift_right v (_ bv15 64)))))
(check-sat)
(pop)

(echo "gain_and_beta_by_halves: the halves make the same gain")
(push)
; 0x7fff times 0x7fff, and 0x7fff times 0xffff.
(assert (and (up_to_32 a #x3fff0001) (up_to_32 b #x7ffe8001)))
(assert (not (= (join_gain a b) (gain_of_product (bvadd (bvshl (i64 a) (_ bv16 64)) (i64 b))))))
(check-sat)
(pop)

(echo "Epilogue::Modulate: the kernels' 32 bits have the reference's result")
(push)
; |scale| <= 2^16 and |mish| <= 2^20; a bias of 17 bits.
(assert (up_to_64 v #x0000001000000000))
(assert (up_to_32 x #x00010000))
(assert (and (bvule (_ bv8 64) s) (bvule s (_ bv30 64))))
(assert (not (= (modulate_kernel v x s) (modulate_reference v x s))))
(check-sat)
(pop)

(echo "Epilogue::Add: the kernels' 32 bits have the reference's result")
(push)
(assert (and (up_to_32 x #x00100000) (bvule k (_ bv13 32)) (bvule r (_ bv16 32))))
(assert (not (= (add_kernel x h k r) (add_reference x h k r))))
(check-sat)
(pop)

(echo "Cortex-M: a shift that adds its carry rounds as rounding_shift_right_i32")
(push)
(assert (and (bvule (_ bv1 32) k) (bvule k (_ bv30 32)) (up_to_32 x #x40000000)))
(assert (not (= (shift_with_carry x k) (rounding_shift_right_i32 x k))))
(check-sat)
(pop)
