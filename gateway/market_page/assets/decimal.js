// Exact decimals. The API sends numbers as strings; a float would show other digits than the exchange has.

const GROUPS = /\B(?=(\d{3})+$)/g;

const power = (exponent) => 10n ** BigInt(exponent);

export class Decimal {
  // `units` is a BigInt: the value is units × 10^-scale.
  constructor(units, scale) {
    this.units = units;
    this.scale = scale;
  }

  // Of a text such as "64012.34000000" or "-0.5".
  static of(text) {
    const [whole, fraction = ""] = text.split(".");
    return new Decimal(BigInt(whole + fraction), fraction.length);
  }

  static get zero() {
    return new Decimal(0n, 0);
  }

  get isZero() {
    return this.units === 0n;
  }

  get sign() {
    return this.units > 0n ? 1 : this.units < 0n ? -1 : 0;
  }

  at(scale) {
    return this.units * power(scale - this.scale);
  }

  plus(other) {
    const scale = Math.max(this.scale, other.scale);
    return new Decimal(this.at(scale) + other.at(scale), scale);
  }

  minus(other) {
    return this.plus(new Decimal(-other.units, other.scale));
  }

  isMoreThan(other) {
    return this.minus(other).sign > 0;
  }

  // Half away from zero.
  rounded(decimals) {
    if (decimals >= this.scale) return new Decimal(this.at(decimals), decimals);
    const step = power(this.scale - decimals);
    const size = this.units < 0n ? -this.units : this.units;
    const units = (size + step / 2n) / step;
    return new Decimal(this.units < 0n ? -units : units, decimals);
  }

  // this × 100 / other; null if `other` is zero.
  percentOf(other, decimals) {
    if (other.isZero) return null;
    const scale = Math.max(this.scale, other.scale);
    const bottom = other.at(scale);
    return new Decimal((this.at(scale) * power(decimals + 4)) / bottom, decimals + 2).rounded(decimals);
  }

  // For drawing only: as a float.
  get drawn() {
    return Number(this.units) / 10 ** this.scale;
  }

  // Exactly, with at least so many decimals, and thousands separated.
  text(decimals = 0) {
    let { units, scale } = this;
    while (scale > decimals && units % 10n === 0n) {
      units /= 10n;
      scale -= 1;
    }
    if (scale < decimals) {
      units *= power(decimals - scale);
      scale = decimals;
    }
    const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, "0");
    const whole = digits.slice(0, digits.length - scale).replace(GROUPS, ",");
    return (units < 0n ? "-" : "") + whole + (scale ? "." + digits.slice(-scale) : "");
  }
}

// The text of a price or a quantity of the API with the decimals of its instrument.
export const shown = (text, decimals) => Decimal.of(text).text(decimals);
